//! Values that YAML can write in several ways: `auto` or a boolean, a number of bytes or clips, a device. Knows nothing
//! of the keys that have such values.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `auto`, `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value")]
pub enum Switch {
    /// The program decides and says what it decided.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// A number of bytes such as `4GiB`, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value")]
pub enum AutoBytes {
    /// The program decides and says what it decided.
    Auto,
    /// This many bytes.
    Bytes(u64),
}

/// The number format of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value")]
pub enum Precision {
    /// bf16 on GPUs from Ampere on, fp16 on Turing; bf16 on a CPU with bf16 instructions, else off.
    Auto,
    /// Half precision with dynamic loss scaling.
    Fp16,
    /// bfloat16.
    Bf16,
    /// float32 throughout.
    Off,
}

/// Clips in a batch, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "serde_json::Value")]
pub enum BatchSize {
    /// As many as fit; `train` settles it before the first step.
    Auto,
    /// This many.
    Clips(usize),
}

/// `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum DeviceChoice {
    /// The first CUDA device that works, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by index; an error where it does not work.
    Cuda(usize),
}

/// Folders: one, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
#[schemars(with = "OneOrMany")]
pub struct Roots(pub Vec<PathBuf>);

impl Roots {
    /// A single folder.
    #[must_use]
    pub fn one(folder: impl Into<PathBuf>) -> Self {
        Self(vec![folder.into()])
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl From<OneOrMany> for Roots {
    fn from(folders: OneOrMany) -> Self {
        match folders {
            OneOrMany::One(folder) => Self(vec![folder]),
            OneOrMany::Many(folders) => Self(folders),
        }
    }
}

impl From<Roots> for OneOrMany {
    fn from(Roots(mut folders): Roots) -> Self {
        match folders.len() {
            1 => Self::One(folders.remove(0)),
            _ => Self::Many(folders),
        }
    }
}

/// `all`, or a list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "NamesOrAll", into = "NamesOrAll")]
#[schemars(with = "NamesOrAll")]
pub enum Methods {
    /// Every method there is.
    All,
    /// Only these.
    Only(Vec<String>),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum NamesOrAll {
    Word(String),
    Names(Vec<String>),
}

impl TryFrom<NamesOrAll> for Methods {
    type Error = String;
    fn try_from(names: NamesOrAll) -> Result<Self, String> {
        match names {
            NamesOrAll::Word(word) if word == "all" => Ok(Self::All),
            NamesOrAll::Word(word) => Ok(Self::Only(vec![word])),
            NamesOrAll::Names(names) if names.is_empty() => Err("found an empty list, expected all or names".into()),
            NamesOrAll::Names(names) => Ok(Self::Only(names)),
        }
    }
}

impl From<Methods> for NamesOrAll {
    fn from(methods: Methods) -> Self {
        match methods {
            Methods::All => Self::Word("all".into()),
            Methods::Only(names) => Self::Names(names),
        }
    }
}

/// What a YAML scalar with several types may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Number(u64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(s) => f.write_str(s),
        }
    }
}

/// Reads and writes a type through its `FromStr` and `Display`.
macro_rules! scalar_serde {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let scalar = Scalar::deserialize(deserializer).map_err(|_| serde::de::Error::custom(Self::EXPECTED))?;
                scalar.to_string().parse().map_err(serde::de::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.to_string().as_str() {
                    "true" => serializer.serialize_bool(true),
                    "false" => serializer.serialize_bool(false),
                    text => match text.parse() {
                        Ok(number) => serializer.serialize_u64(number),
                        Err(_) => serializer.serialize_str(text),
                    },
                }
            }
        }
    )*};
}
scalar_serde!(Switch, AutoBytes, BatchSize, Precision, DeviceChoice);

impl Switch {
    const EXPECTED: &str = "expected auto, true or false";
}

impl FromStr for Switch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::On),
            "false" => Ok(Self::Off),
            other => Err(format!("found `{other}`, {}", Self::EXPECTED)),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "true",
            Self::Off => "false",
        })
    }
}

impl AutoBytes {
    const EXPECTED: &str = "expected auto or a number of bytes such as 4GiB";
}

impl FromStr for AutoBytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            other => match other.parse::<ByteSize>() {
                Ok(size) => Ok(Self::Bytes(size.as_u64())),
                Err(_) => Err(format!("found `{other}`, {}", Self::EXPECTED)),
            },
        }
    }
}

impl fmt::Display for AutoBytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl BatchSize {
    const EXPECTED: &str = "expected auto or a whole number of clips";

    /// The number of clips; 1 as long as `auto` is not settled, the least there can be.
    #[must_use]
    pub fn clips(self) -> usize {
        match self {
            Self::Auto => 1,
            Self::Clips(clips) => clips,
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            other => other.parse().map(Self::Clips).map_err(|_| format!("found `{other}`, {}", Self::EXPECTED)),
        }
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Clips(clips) => write!(f, "{clips}"),
        }
    }
}

impl Precision {
    const EXPECTED: &str = "expected auto, fp16, bf16 or off";
}

impl FromStr for Precision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" | "true" => Ok(Self::Auto),
            "fp16" => Ok(Self::Fp16),
            "bf16" => Ok(Self::Bf16),
            "off" | "false" => Ok(Self::Off),
            other => Err(format!("found `{other}`, {}", Self::EXPECTED)),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Off => "off",
        })
    }
}

impl DeviceChoice {
    const EXPECTED: &str = "expected auto, cpu, cuda or cuda:N";
}

impl FromStr for DeviceChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => match other.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
                Some(index) => Ok(Self::Cuda(index)),
                None => Err(format!("found `{other}`, {}", Self::EXPECTED)),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}
