//! The numbers of a network by their names: what a weight file holds, and what an optimiser
//! updates, in one order.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{DType, Device, Tensor, TensorData},
};

/// A tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Names of the modules it lies in and its own, with dots: `body.3.conv1.weight`.
    pub path: String,
    /// Its sizes; those of a convolution are out, in, rows and columns.
    pub shape: Vec<usize>,
}

impl Slot {
    /// How many numbers it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The path through the modules. The variant of an enum is no part of it.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    /// With the names that PyTorch gives to the numbers of a normalisation and an activation.
    fn joined(&self) -> String {
        let name = self.0.join(".");
        let endings = [(".gamma", ".weight"), (".beta", ".bias"), (".alpha", ".weight")];
        let renamed = endings.iter().find_map(|(ours, theirs)| {
            name.strip_suffix(ours).map(|start| format!("{start}{theirs}"))
        });
        renamed.unwrap_or(name)
    }
}

/// All slots of a network, in its order. Weights that were not drawn yet are not drawn by this.
#[must_use]
pub fn of<M: Module>(network: &M) -> Vec<Slot> {
    #[derive(Default)]
    struct Slots {
        path: Path,
        found: Vec<Slot>,
    }

    impl ModuleVisitor for Slots {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().to_vec();
            self.found.push(Slot { path: self.path.joined(), shape });
        }
    }

    let mut slots = Slots::default();
    network.visit(&mut slots);
    slots.found
}

/// The values of all slots, flat and without their history of gradients.
#[must_use]
pub fn values<M: Module>(network: &M) -> Vec<Tensor<1>> {
    struct Values(Vec<Tensor<1>>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let length = value.shape().num_elements();
            self.0.push(value.reshape([length]));
        }
    }

    let mut values = Values(Vec::new());
    // Batch normalisation keeps its last update aside until it is asked in this way.
    network.valid().visit(&mut values);
    values.0
}

/// The network with other values in all slots, which must be as many and as long as
/// [`values`] gives. What was to be learnt still is.
#[must_use]
pub fn replaced<M: Module>(network: M, values: Vec<Tensor<1>>) -> M {
    struct Replace(std::vec::IntoIter<Tensor<1>>);

    impl ModuleMapper for Replace {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(value) = self.0.next() else {
                return param;
            };
            param.map(|old| {
                let learnt = old.is_require_grad();
                let value = value.reshape(old.shape());
                if !old.device().is_autodiff() {
                    return value;
                }
                Tensor::from_inner(value).set_require_grad(learnt)
            })
        }
    }

    // An update that batch normalisation keeps aside would be put over the new values.
    drop(network.valid());
    network.map(&mut Replace(values.into_iter()))
}

/// The network with `value_of` each slot's path: its numbers, as many as the slot holds. Those for
/// which it gives none stay as they were.
#[must_use]
pub fn filled<M: Module>(
    network: M,
    device: &Device,
    value_of: impl FnMut(&str) -> Option<Vec<f32>>,
) -> M {
    struct Fill<'a, F> {
        path: Path,
        device: &'a Device,
        value_of: F,
    }

    impl<F: FnMut(&str) -> Option<Vec<f32>>> ModuleMapper for Fill<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(values) = (self.value_of)(&self.path.joined()) else {
                return param;
            };
            // A new parameter: mapping the old one would draw it first.
            let data = TensorData::new(values, param.lazy_shape());
            let value = Tensor::from_data(data, self.device);
            let learnt = self.device.is_autodiff();
            Param::initialized(param.id, value.set_require_grad(learnt))
        }
    }

    network.map(&mut Fill { path: Path::default(), device, value_of })
}

/// The network where only the slots that `learns` names have gradients.
#[must_use]
pub fn frozen_but<M: Module>(network: M, learns: impl FnMut(&str) -> bool) -> M {
    struct Freeze<F> {
        path: Path,
        learns: F,
    }

    impl<F: FnMut(&str) -> bool> ModuleMapper for Freeze<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let learns = (self.learns)(&self.path.joined());
            param.map(|value| value.detach().set_require_grad(learns))
        }
    }

    network.map(&mut Freeze { path: Path::default(), learns })
}

/// The network computing with another kind of numbers; gradients still reach the weights of the one
/// it was made from. Not for networks with batch normalisation, whose running numbers are shared.
#[must_use]
pub fn cast<M: Module>(network: M, kind: DType) -> M {
    struct Cast(DType);

    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, param.val().cast(self.0))
        }
    }

    network.map(&mut Cast(kind))
}
