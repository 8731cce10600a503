//! Random factors of the backbone in training: dropout and stochastic depth, drawn for the rows of the effective batch.
//!
//! A factor is a hash of the step's seed, the layer, the row and the column, and not the next number of a generator. So
//! it does not depend on how the guard cuts the effective batch, and recomputation in backward draws the same again.

use tch::{Device, Tensor};

use crate::torch::Result;

/// The draws of one training step, for rows (frames) from a certain one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Draws {
    seed: u64,
    first_row: u64,
}

impl Draws {
    /// The draws of a step with this seed, from its first frame on.
    #[must_use]
    pub fn new(seed: i64) -> Self {
        Self { seed: seed.cast_unsigned(), first_row: 0 }
    }

    /// The draws of the frames from frame `row` on.
    #[must_use]
    pub fn from_row(self, row: usize) -> Self {
        Self { first_row: self.first_row + row as u64, ..self }
    }

    /// Factors `[rows, columns]` for layer number `layer`: 0 with `probability`, else 1 / (1 - `probability`).
    pub(super) fn factors(self, layer: usize, [rows, columns]: [i64; 2], probability: f64) -> Result<Tensor> {
        let scale = (1.0 / (1.0 - probability)) as f32;
        let layer = mix(self.seed, layer as u64);
        let mut factors = Vec::with_capacity((rows * columns) as usize);
        for row in 0..rows.cast_unsigned() {
            let row = mix(layer, self.first_row + row);
            factors.extend(
                (0..columns.cast_unsigned()).map(
                    |column| {
                        if uniform(mix(row, column)) < probability { 0.0 } else { scale }
                    },
                ),
            );
        }
        Tensor::f_from_slice(&factors)?.f_view([rows, columns])
    }
}

/// Multiplies `x` by factors of its rows, on its device and in its format.
pub(super) fn scale_in_place(x: &mut Tensor, factors: &Tensor) -> Result<Tensor> {
    let factors = factors.f_to_kind(x.kind())?;
    let factors = if x.device() == Device::Cpu { factors } else { factors.f_to_device(x.device())? };
    x.f_mul_(&factors)
}

/// The step of SplitMix64 (Steele et al. 2014) from a state that two numbers make.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The upper 53 bits as a number in 0..1.
fn uniform(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn numbers(factors: &Tensor) -> Vec<f64> {
        Vec::try_from(factors.to_kind(Kind::Double).view(-1)).unwrap()
    }

    #[test]
    fn rows_do_not_depend_on_the_cut() {
        let draws = Draws::new(-7);
        let whole = draws.factors(3, [6, 5], 0.4).unwrap();
        let (first, rest) =
            (draws.factors(3, [2, 5], 0.4).unwrap(), draws.from_row(2).factors(3, [4, 5], 0.4).unwrap());
        assert!(Tensor::cat(&[first, rest], 0).equal(&whole));
        for other in [Draws::new(8).factors(3, [6, 5], 0.4).unwrap(), draws.factors(4, [6, 5], 0.4).unwrap()] {
            assert!(!other.equal(&whole));
        }
    }

    #[test]
    fn factors_have_their_probability_in_rows_and_columns_and_mean_one() {
        for (shape, layer) in [([40_000, 1], 0), ([1, 40_000], 1), ([200, 200], 2)] {
            let factors = numbers(&Draws::new(1).factors(layer, shape, 0.2).unwrap());
            let dropped = factors.iter().filter(|factor| **factor == 0.0).count() as f64 / 40_000.0;
            // Five standard deviations.
            assert!((dropped - 0.2).abs() < 5.0 * (0.2_f64 * 0.8 / 40_000.0).sqrt(), "{shape:?}: {dropped}");
            assert!(factors.iter().all(|factor| *factor == 0.0 || (factor - 1.25).abs() < 1e-6));
        }
    }

    #[test]
    fn neighbours_are_independent() {
        let draws = Draws::new(5).factors(0, [300, 300], 0.5).unwrap();
        for side in [0, 1] {
            let (a, b) = (numbers(&draws.narrow(side, 0, 299)), numbers(&draws.narrow(side, 1, 299)));
            let both = a.iter().zip(&b).filter(|(a, b)| **a == 0.0 && **b == 0.0).count() as f64 / a.len() as f64;
            assert!((both - 0.25).abs() < 5.0 * (0.25_f64 * 0.75 / a.len() as f64).sqrt(), "along {side}: {both}");
        }
    }
}
