//! Number formats: float32, float16, bfloat16, and the one that a configured precision means. Converts no tensor.

use serde::Serialize;

use crate::config::Precision;

/// The number format of a forward pass, decided; weights, gradients and moments are always float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// float32 throughout.
    F32,
    /// float16 where it is safe; gradients need loss scaling.
    Fp16,
    /// bfloat16 where it is safe.
    Bf16,
}

impl Format {
    /// The name used in configuration and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        }
    }

    /// The format that a configured precision means on a CUDA device or on this machine's CPU.
    #[must_use]
    pub fn resolve(precision: Precision, cuda: bool) -> Self {
        match precision {
            Precision::Off => Self::F32,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
            Precision::Auto if cuda => Self::Fp16,
            Precision::Auto if cpu_has_bf16() => Self::Bf16,
            Precision::Auto => Self::F32,
        }
    }

    /// Bytes of one number.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Fp16 | Self::Bf16 => 2,
        }
    }
}

/// Whether this CPU multiplies bfloat16 in hardware; without that, bf16 is slower than f32.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_resolves_by_device() {
        assert_eq!(Format::resolve(Precision::Auto, true), Format::Fp16);
        assert_eq!(Format::resolve(Precision::Bf16, true), Format::Bf16);
        assert_eq!(Format::resolve(Precision::Off, true), Format::F32);
        assert_eq!(Format::resolve(Precision::Auto, false) == Format::Bf16, cpu_has_bf16());
        assert_ne!(Format::resolve(Precision::Auto, false), Format::Fp16);
    }
}
