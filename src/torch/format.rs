//! Number formats: float32, float16, bfloat16, and the one that a configured precision means. Converts no tensor.

use serde::Serialize;

use crate::config::Precision;

/// The first compute capability whose tensor cores multiply bfloat16.
pub const AMPERE: [i32; 2] = [8, 0];

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

    /// The format that a configured precision means on a CUDA device of this compute capability; `None` is this
    /// machine's CPU.
    #[must_use]
    pub fn resolve(precision: Precision, capability: Option<[i32; 2]>) -> Self {
        match (precision, capability) {
            (Precision::Off, _) => Self::F32,
            (Precision::Fp16, _) => Self::Fp16,
            (Precision::Bf16, _) => Self::Bf16,
            (Precision::Auto, Some(capability)) if capability >= AMPERE => Self::Bf16,
            // Turing's tensor cores know float16 alone.
            (Precision::Auto, Some(_)) => Self::Fp16,
            (Precision::Auto, None) if cpu_has_bf16() => Self::Bf16,
            (Precision::Auto, None) => Self::F32,
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

/// Whether bfloat16 is multiplied in hardware here: by this CPU, and not kept from it by the environment of oneDNN.
/// Without that, bf16 is slower than f32, and up to 70 times slower with kernels for old CPUs.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    let limit = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"].iter().find_map(std::env::var_os);
    has && limit.is_none_or(|limit| allows_bf16(&limit.to_string_lossy()))
}

/// Whether oneDNN uses bf16 instructions where it is limited to those of this name.
fn allows_bf16(limit: &str) -> bool {
    let without = ["SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"];
    !without.iter().any(|name| name.eq_ignore_ascii_case(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_resolves_by_device() {
        let auto = |capability| Format::resolve(Precision::Auto, capability);
        assert_eq!([[7, 0], [7, 5]].map(|capability| auto(Some(capability))), [Format::Fp16; 2]);
        assert_eq!([[8, 0], [8, 9], [12, 0]].map(|capability| auto(Some(capability))), [Format::Bf16; 3]);
        assert_eq!(Format::resolve(Precision::Bf16, Some([7, 5])), Format::Bf16);
        assert_eq!(Format::resolve(Precision::Fp16, Some([8, 0])), Format::Fp16);
        assert_eq!(Format::resolve(Precision::Off, Some([8, 0])), Format::F32);
        assert_eq!(auto(None) == Format::Bf16, cpu_has_bf16());
        assert_ne!(auto(None), Format::Fp16);
    }

    #[test]
    fn kernels_for_older_cpus_have_no_bf16() {
        let allowed = ["SSE41", "avx2", "AVX512_CORE", "AVX512_CORE_BF16", "AVX512_CORE_AMX", "ALL", "DEFAULT", ""]
            .map(allows_bf16);
        assert_eq!(allowed, [false, false, false, true, true, true, true, true]);
    }
}
