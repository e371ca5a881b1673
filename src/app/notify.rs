//! A word on the desktop when work is done that nobody watches.

use egui::Context;

/// Tells that something is done where the window is not in front: as a notification of the desktop,
/// and in the task bar.
pub(super) fn tell(ctx: &Context, title: &str, text: &str) {
    // Attention is for those who look elsewhere.
    if ctx.input(|input| input.focused) {
        return;
    }
    let attention = egui::UserAttentionType::Informational;
    ctx.send_viewport_cmd(egui::ViewportCommand::RequestUserAttention(attention));
    desktop(title.to_owned(), text.to_owned());
}

/// Asks the desktop over D-Bus, as freedesktop.org's Desktop Notifications Specification 1.3 says. A
/// bus can let one wait, so that is done by a thread of its own.
#[cfg(target_os = "linux")]
fn desktop(title: String, text: String) {
    let asked = std::thread::Builder::new().name("notification".to_owned()).spawn(move || {
        if let Err(error) = pollster::block_on(freedesktop::notify(&title, &text)) {
            // There is none on a machine without a desktop.
            log::info!("no notification: {error}");
        }
    });
    if let Err(error) = asked {
        log::warn!("no notification: {error}");
    }
}

/// The task bar has to do: what other systems offer wants an installed program.
#[cfg(not(target_os = "linux"))]
fn desktop(_title: String, _text: String) {}

#[cfg(target_os = "linux")]
mod freedesktop {
    use std::collections::HashMap;

    use zbus::{Connection, zvariant::Value};

    const SERVICE: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";

    /// The application, what it replaces, its icon, title and text, buttons, hints, and how long it
    /// stays in milliseconds.
    type Request<'a> = (
        &'static str,
        u32,
        &'static str,
        &'a str,
        &'a str,
        Vec<&'static str>,
        HashMap<&'static str, Value<'static>>,
        i32,
    );

    /// Replaces nothing, has no buttons, and stays as long as such things do on this desktop.
    fn request<'a>(title: &'a str, text: &'a str) -> Request<'a> {
        let id = "io.github.pixmend.Pixmend";
        let hints = HashMap::from([("desktop-entry", Value::from(id))]);
        ("Pixmend", 0, id, title, text, Vec::new(), hints, -1)
    }

    pub(super) async fn notify(title: &str, text: &str) -> zbus::Result<()> {
        let bus = Connection::session().await?;
        let request = request(title, text);
        bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &request).await?;
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use zbus::zvariant::DynamicType as _;

        use super::*;

        #[test]
        fn a_request_has_the_types_of_the_specification() {
            let signature = request("The queue is finished", "3 done").signature().to_string();
            assert_eq!(signature, "(susssasa{sv}i)");
        }
    }
}
