//! How the weights of a network answer to a change of the strengths that they were trained with.
//!
//! The structure is that of "Self-tuning networks: bilevel optimization of hyperparameters using
//! structured best-response functions", ICLR 2019, in the centred and linear form of "Delta-STN"
//! (see [`super::delta_stn`]): the weights W of a layer become W + (Vε) ⊙ R, where ε is the change,
//! V has a number for each output and strength, R has the shape of W, and ⊙ multiplies all weights
//! of an output by its number. V begins with 0, R with W (there: with random numbers), and values
//! that stand alone, biases and slopes, have 1 in R.

use burn::tensor::Tensor;

use crate::net::slots::Slot;

/// A matrix that is learnt, with Adam's numbers.
struct Learnt {
    value: Tensor<2>,
    updates: i32,
    moments: [Tensor<2>; 2],
}

impl Learnt {
    fn new(value: Tensor<2>) -> Self {
        let zero = value.zeros_like();
        Self { value, updates: 0, moments: [zero.clone(), zero] }
    }

    fn descend(&mut self, gradient: Tensor<2>, rate: f64) {
        self.updates += 1;
        let [first, second] = &self.moments;
        let first = first.clone() * 0.9 + gradient.clone() * 0.1;
        let second = second.clone() * 0.99 + gradient.clone() * gradient * 0.01;
        let [one, two] = [0.9_f64, 0.99].map(|beta| 1.0 - beta.powi(self.updates));
        let spread = (second.clone() / two).sqrt() + 1e-8;
        self.value = self.value.clone() - first.clone() / one / spread * rate;
        self.moments = [first, second];
    }
}

/// V and R of one slot.
struct Layer {
    /// `[outputs, strengths]`
    scales: Learnt,
    /// `[outputs, weights of an output]`
    rows: Learnt,
}

/// Those of all slots of a network.
pub(super) struct Response(Vec<Layer>);

impl Response {
    /// Of a network with these values, to so many strengths: none yet.
    pub(super) fn new(slots: &[Slot], values: Vec<Tensor<1>>, strengths: usize) -> Self {
        let layer = |(slot, value): (&Slot, Tensor<1>)| {
            let outputs = slot.shape.first().copied().unwrap_or(1).max(1);
            let rest = slot.len() / outputs;
            let device = value.device();
            let rows = value.reshape([outputs, rest]);
            let rows = if slot.shape.len() > 1 { rows } else { rows.ones_like() };
            let scales = Tensor::zeros([outputs, strengths], &device);
            Layer { scales: Learnt::new(scales), rows: Learnt::new(rows) }
        };
        Self(slots.iter().zip(values).map(layer).collect())
    }

    /// By how much the values of each slot change for ε.
    pub(super) fn shift(&self, off: &[f64]) -> Vec<Tensor<1>> {
        let shift = |layer: &Layer| {
            let change = layer.rows.value.clone() * layer.scale(off);
            let length = change.shape().num_elements();
            change.reshape([length])
        };
        self.0.iter().map(shift).collect()
    }

    /// A step of Adam on V and R, by the slopes of a loss at the values that ε has shifted.
    pub(super) fn learn(&mut self, slopes: &[Option<Tensor<1>>], off: &[f64], rate: f64) {
        for (layer, slope) in self.0.iter_mut().zip(slopes) {
            let Some(slope) = slope else { continue };
            let slope = slope.clone().reshape(layer.rows.value.shape());
            let by_output = (slope.clone() * layer.rows.value.clone()).sum_dim(1);
            let by_row = slope * layer.scale(off);
            layer.scales.descend(by_output * row(off, &layer.scales.value), rate);
            layer.rows.descend(by_row, rate);
        }
    }

    /// The slope of a loss by ε, from those by the values: Θᵀ times them.
    pub(super) fn slope(&self, slopes: &[Option<Tensor<1>>]) -> Vec<f64> {
        let of_layer = |(layer, slope): (&Layer, &Option<Tensor<1>>)| {
            let slope = slope.clone()?.reshape(layer.rows.value.shape());
            let by_output = (slope * layer.rows.value.clone()).sum_dim(1);
            Some((by_output * layer.scales.value.clone()).sum_dim(0))
        };
        let layers = self.0.iter().zip(slopes).filter_map(of_layer);
        let sum = layers.reduce(|sum, next| sum + next);
        let values = sum.and_then(|sum| sum.into_data().try_into_vec::<f32>().ok());
        values.unwrap_or_default().into_iter().map(f64::from).collect()
    }
}

impl Layer {
    /// Vε as a column.
    fn scale(&self, off: &[f64]) -> Tensor<2> {
        (self.scales.value.clone() * row(off, &self.scales.value)).sum_dim(1)
    }
}

/// ε as a row, where V is.
fn row(off: &[f64], like: &Tensor<2>) -> Tensor<2> {
    let off: Vec<f32> = off.iter().map(|off| *off as f32).collect();
    Tensor::<1>::from_data(off.as_slice(), &like.device()).unsqueeze()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.clone().into_data().try_into_vec().unwrap()
    }

    fn response() -> Response {
        let device = Device::flex();
        let slots = [
            Slot { path: "weight".into(), shape: vec![2, 3] },
            Slot { path: "bias".into(), shape: vec![2] },
        ];
        let weight = Tensor::<1>::from_data([1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &device);
        let bias = Tensor::<1>::from_data([0.0_f32, 0.0], &device);
        Response::new(&slots, vec![weight, bias], 2)
    }

    #[test]
    fn there_is_no_answer_before_one_is_learnt() {
        let response = response();
        let shift = response.shift(&[0.7, -2.0]);
        assert!(shift.iter().flat_map(numbers).all(|value| value == 0.0));
    }

    #[test]
    fn the_answer_is_linear_and_its_slope_is_that_of_differences() {
        let device = Device::flex();
        let mut response = response();
        let slopes = [
            Some(Tensor::<1>::from_data([0.3_f32, -1.0, 0.5, 0.2, 0.1, -0.4], &device)),
            Some(Tensor::<1>::from_data([1.0_f32, -2.0], &device)),
        ];
        for _ in 0..5 {
            response.learn(&slopes, &[0.5, 1.0], 0.01);
        }
        let loss = |off: &[f64]| -> f64 {
            let shift = response.shift(off);
            let each = shift.iter().zip(&slopes).flat_map(|(shift, slope)| {
                numbers(shift).into_iter().zip(numbers(slope.as_ref().unwrap()))
            });
            each.map(|(shift, slope)| f64::from(shift * slope)).sum()
        };
        let at = |a, b| loss(&[a, b]);
        assert!(at(0.5, 1.0) < -1e-3, "what was learnt makes the loss smaller");
        assert!((at(0.4, 0.6) - 2.0 * at(0.2, 0.3)).abs() < 1e-5);
        let slope = response.slope(&slopes);
        assert!((slope[0] - at(1.0, 0.0)).abs() < 1e-4, "{slope:?}");
        assert!((slope[1] - at(0.0, 1.0)).abs() < 1e-4, "{slope:?}");
        // What has no gradient neither learns nor counts.
        let before = numbers(&response.shift(&[1.0, 1.0])[0]);
        response.learn(&[None, slopes[1].clone()], &[1.0, 1.0], 0.01);
        assert_eq!(numbers(&response.shift(&[1.0, 1.0])[0]), before);
    }
}
