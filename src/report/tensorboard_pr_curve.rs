//! A precision-recall curve in the format of TensorBoard's plug-in `pr_curves`: counts and shares at 127 thresholds.
//! Writes no file; that is `tensorboard.rs`. The curves of reports are in `metrics`.
//!
//! The messages are those of TensorFlow's `summary.proto` and `tensor.proto`, and of the plug-in's `plugin_data.proto`;
//! the numbers are those of `torch.utils.tensorboard`'s `add_pr_curve`.

use prost::Message;

const THRESHOLDS: usize = 127;
/// Smallest divisor, against division by 0.
const LEAST_COUNT: f64 = 1e-7;
const DT_FLOAT: i32 = 1;
const PLUGIN: &str = "pr_curves";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct CurveData {
    #[prost(int32, tag = "1")]
    version: i32,
    #[prost(uint32, tag = "2")]
    num_thresholds: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<Shape>,
    #[prost(float, repeated, tag = "5")]
    float_val: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    size: i64,
}

/// The metadata that marks a value as a precision-recall curve.
pub(super) fn metadata() -> Metadata {
    let content = CurveData { version: 0, num_thresholds: THRESHOLDS as u32 }.encode_to_vec();
    Metadata { plugin_data: Some(PluginData { plugin_name: PLUGIN.into(), content }) }
}

/// The curve of scores from 0 to 1 as a tensor `[6, thresholds]`: true and false positives, true and false negatives,
/// precision, recall.
pub(super) fn tensor(scores: &[f64], is_fake: &[bool]) -> TensorProto {
    // For each class, the number of scores at or above each threshold.
    let mut reached = [[0.0; THRESHOLDS]; 2];
    for (score, fake) in scores.iter().zip(is_fake) {
        let highest = (score * (THRESHOLDS - 1) as f64).floor() as usize;
        reached[usize::from(*fake)][..=highest.min(THRESHOLDS - 1)].iter_mut().for_each(|count| *count += 1.0);
    }
    let [false_positives, true_positives] = reached;
    let rest = |counts: &[f64; THRESHOLDS]| counts.map(|count| counts[0] - count);
    let (true_negatives, false_negatives) = (rest(&false_positives), rest(&true_positives));
    let share = |of: &[f64; THRESHOLDS]| -> [f64; THRESHOLDS] {
        std::array::from_fn(|i| true_positives[i] / (true_positives[i] + of[i]).max(LEAST_COUNT))
    };
    let (precision, recall) = (share(&false_positives), share(&false_negatives));
    let rows = [true_positives, false_positives, true_negatives, false_negatives, precision, recall];
    let dim = [rows.len(), THRESHOLDS].map(|size| Dimension { size: size as i64 }).to_vec();
    let float_val = rows.concat().into_iter().map(|number| number as f32).collect();
    TensorProto { dtype: DT_FLOAT, tensor_shape: Some(Shape { dim }), float_val }
}
