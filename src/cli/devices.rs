//! `pixmend devices`

use serde::Serialize;

use super::{print_json, print_line};
use crate::{
    device::{Adapter, CPU, adapters},
    error::Result,
};

/// Arguments of `pixmend devices`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    devices: Vec<Tested>,
}

#[derive(Serialize)]
struct Tested {
    #[serde(flatten)]
    adapter: Option<Adapter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether it computes with numbers of 16 bit.
    half: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    half_reason: Option<String>,
    /// Whether `--device auto` may take it.
    automatic: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut devices: Vec<Tested> = adapters()
        .into_iter()
        .map(|adapter| {
            let test = adapter.self_test();
            let half = adapter.half_test();
            Tested {
                automatic: adapter.is_gpu() && test.is_ok(),
                passed: test.is_ok(),
                half: test.is_ok() && half.is_ok(),
                half_reason: half.err(),
                reason: test.err(),
                name: None,
                adapter: Some(adapter),
            }
        })
        .collect();
    devices.push(Tested {
        adapter: None,
        name: Some(CPU),
        passed: true,
        half: false,
        half_reason: None,
        reason: None,
        automatic: true,
    });
    if arguments.json {
        return print_json(&Listing { devices });
    }
    for device in &devices {
        let test = match &device.reason {
            None if device.half => "self-test passed, in 16 bit too".to_owned(),
            None => match &device.half_reason {
                None => "self-test passed".to_owned(),
                Some(reason) => format!("self-test passed (not in 16 bit: {reason})"),
            },
            Some(reason) => format!("not usable: {reason}"),
        };
        let line = match &device.adapter {
            None => format!("{CPU} (always there): {test}"),
            Some(adapter) => {
                let memory = adapter.memory_bytes.map_or_else(
                    || "memory unknown".to_owned(),
                    |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
                );
                let Adapter { name, backend, kind, .. } = adapter;
                format!("{name} ({backend}, {kind}, {memory}): {test}")
            }
        };
        print_line(&line)?;
    }
    Ok(())
}
