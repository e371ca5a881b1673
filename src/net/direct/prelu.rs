//! The leaky step with a learnt slope in training, as an operation of Burn's: one pass over the
//! values and one back, where Burn would take a dozen.

use burn::{
    backend::{
        Flex, TensorMetadata as _,
        autodiff::ops::Ops,
        autodiff::{checkpoint::base::Checkpointer, grads::Gradients as Found, ops::Backward},
        flex::FlexTensor,
    },
    tensor::Tensor,
};

use super::{
    OnSet,
    simd::{Isa, Kernel},
    train::{By, Shared, plain, registered, spread, tensor, tracked, values},
};

/// Sums that a plane is added up in, so that vectors can be used.
const SUMS: usize = 16;

/// `to = x` where x is positive, else `slope` times x.
struct Bend<'a> {
    from: &'a [f32],
    slope: f32,
    to: *mut f32,
}

impl<S: Isa> Kernel<S> for Bend<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        for (i, x) in self.from.iter().enumerate() {
            let bent = if *x >= 0.0 { *x } else { self.slope * x };
            unsafe { self.to.add(i).write(bent) };
        }
    }
}

/// The way back: the gradient of the values goes to `to`, that of the slope to `sum`.
struct Straighten<'a> {
    from: &'a [f32],
    gradient: &'a [f32],
    slope: f32,
    to: *mut f32,
    sum: *mut f32,
}

impl<S: Isa> Kernel<S> for Straighten<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let mut sums = [0.0_f32; SUMS];
        let pairs = self.from.chunks(SUMS).zip(self.gradient.chunks(SUMS));
        for (chunk, (from, gradient)) in pairs.enumerate() {
            let to = unsafe { self.to.add(chunk * SUMS) };
            let mut one = |i: usize, x: f32, gradient: f32| {
                let positive = x >= 0.0;
                sums[i] += if positive { 0.0 } else { x * gradient };
                let back = if positive { gradient } else { self.slope * gradient };
                unsafe { to.add(i).write(back) };
            };
            if let (Ok(from), Ok(gradient)) =
                (<&[f32; SUMS]>::try_from(from), <&[f32; SUMS]>::try_from(gradient))
            {
                for i in 0..SUMS {
                    one(i, from[i], gradient[i]);
                }
            } else {
                for (i, (from, gradient)) in from.iter().zip(gradient).enumerate() {
                    one(i, *from, *gradient);
                }
            }
        }
        unsafe { self.sum.write(sums.iter().sum()) };
    }
}

/// Values in planes of `area`, one slope for each channel or for all.
struct Forward<'a> {
    from: &'a [f32],
    slopes: &'a [f32],
    area: usize,
    threads: usize,
}

impl OnSet for Forward<'_> {
    type Answer = Vec<f32>;

    fn run<S: Isa>(self) -> Vec<f32> {
        let Self { from, slopes, area, threads } = self;
        assert!(S::available());
        let mut answer = Vec::with_capacity(from.len());
        let shared = Shared::of(&mut answer);
        spread(threads, from.len() / area, |take| {
            while let Some(plane) = take() {
                let (from, slope) = (&from[plane * area..][..area], slopes[plane % slopes.len()]);
                // SAFETY: the instruction set is there, and every plane is taken once.
                unsafe { S::enter(Bend { from, slope, to: shared.start().add(plane * area) }) };
            }
        });
        // SAFETY: all planes were written.
        unsafe { answer.set_len(from.len()) };
        answer
    }
}

/// The way back through [`Forward`].
struct Back<'a> {
    forward: Forward<'a>,
    gradient: &'a [f32],
}

impl OnSet for Back<'_> {
    /// The gradients of values and slopes.
    type Answer = (Vec<f32>, Vec<f32>);

    fn run<S: Isa>(self) -> Self::Answer {
        let Forward { from, slopes, area, threads } = self.forward;
        assert!(S::available() && self.gradient.len() == from.len());
        let planes = from.len() / area;
        let (mut answer, mut sums) = (Vec::with_capacity(from.len()), vec![0.0; planes]);
        let shared = [Shared::of(&mut answer), Shared::of(&mut sums)];
        spread(threads, planes, |take| {
            while let Some(plane) = take() {
                let from = &from[plane * area..][..area];
                let gradient = &self.gradient[plane * area..][..area];
                let slope = slopes[plane % slopes.len()];
                // SAFETY: the instruction set is there, and every plane is taken once.
                unsafe {
                    let to = shared[0].start().add(plane * area);
                    let sum = shared[1].start().add(plane);
                    S::enter(Straighten { from, gradient, slope, to, sum });
                }
            }
        });
        // SAFETY: all planes were written.
        unsafe { answer.set_len(from.len()) };
        let mut of_slopes = vec![0.0; slopes.len()];
        for (plane, sum) in sums.iter().enumerate() {
            of_slopes[plane % slopes.len()] += sum;
        }
        (answer, of_slopes)
    }
}

/// The operation in Burn's graph. Its parents are values and slopes.
#[derive(Debug)]
struct PRelu;

impl Backward<Flex, 2> for PRelu {
    type State = (By, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, found: &mut Found, _: &mut Checkpointer) {
        let (by, input, slopes) = ops.state;
        let gradient = plain(found.consume::<Flex>(&ops.node));
        let back =
            Back { forward: forward(&input, &slopes, by.threads), gradient: values(&gradient) };
        let (of_input, of_slopes) = by.set.run(back);
        let [input_node, slopes_node] = ops.parents;
        if let Some(node) = input_node {
            let shape: [usize; 4] = input.shape().dims();
            found.register::<Flex>(node.id, tensor(of_input, shape));
        }
        if let Some(node) = slopes_node {
            let shape = [of_slopes.len()];
            found.register::<Flex>(node.id, tensor(of_slopes, shape));
        }
    }
}

fn forward<'a>(input: &'a FlexTensor, slopes: &'a FlexTensor, threads: usize) -> Forward<'a> {
    let shape = input.shape();
    Forward { from: values(input), slopes: values(slopes), area: shape[2] * shape[3], threads }
}

/// `input` where it is positive, elsewhere times its channel's slope (or the only one); `None` for
/// tensors that are not of 32 bit and on the CPU with gradients.
#[must_use]
pub fn prelu(input: &Tensor<4>, slopes: &Tensor<1>) -> Option<Tensor<4>> {
    prelu_by(By::all(), input, slopes)
}

fn prelu_by(by: By, input: &Tensor<4>, slopes: &Tensor<1>) -> Option<Tensor<4>> {
    let (input, of_input) = tracked(input)?.into_parts();
    let (slopes, of_slopes) = tracked(slopes)?.into_parts();
    let (input, slopes) = (plain(input), plain(slopes));
    let answer = by.set.run(forward(&input, &slopes, by.threads));
    let shape: [usize; 4] = input.shape().dims();
    let state = (by, input, slopes);
    Some(registered(PRelu, [of_input, of_slopes], state, tensor(answer, shape)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData, activation};

    use super::{
        super::{InstructionSet, tests::noise},
        *,
    };

    fn leaf<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let device = Device::flex().autodiff();
        Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
    }

    /// Answer, and the gradients of values and slopes.
    fn all(
        (shape, slopes): ([usize; 4], usize),
        prelu: impl Fn(&Tensor<4>, &Tensor<1>) -> Tensor<4>,
    ) -> [Vec<f32>; 3] {
        let count = shape.iter().product();
        let input = leaf(noise(count, 3), shape);
        let slopes = leaf(noise(slopes, 4), [slopes]);
        let answer = prelu(&input, &slopes);
        let found = (answer.clone() * leaf(noise(count, 5), shape)).sum().backward();
        let read = |data: TensorData| data.try_into_vec().unwrap();
        [
            read(answer.into_data()),
            read(input.grad(&found).unwrap().into_data()),
            read(slopes.grad(&found).unwrap().into_data()),
        ]
    }

    #[test]
    fn it_is_that_of_burn_with_any_set_and_number_of_threads() {
        for case in [([1, 3, 1, 1], 3), ([3, 5, 7, 9], 5), ([2, 48, 8, 8], 48), ([2, 4, 5, 3], 1)] {
            let expected =
                all(case, |input, slopes| activation::prelu(input.clone(), slopes.clone()));
            for set in InstructionSet::available() {
                let by = |threads| {
                    all(case, |input, slopes| prelu_by(By { set, threads }, input, slopes).unwrap())
                };
                let one = by(1);
                assert!(one == by(2) && one == by(3), "{set:?} {case:?}");
                for (got, expected) in one.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((got - expected).abs() < 1e-4, "{set:?} {case:?}: {got} {expected}");
                }
            }
        }
    }
}
