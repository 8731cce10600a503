//! Sizes of the layers of the network: their weights, and the elements that they keep for backward.
//!
//! The sizes follow from the definition of torchvision's ResNets and of PyTorch's LSTM and attention, not from a live
//! model, so that a configuration can be judged without building it. Which tensors are alive at the same time is
//! decided in `step.rs`.

use crate::config::{Backbone, DataConfig, Freeze, ModelConfig, Temporal};

/// A convolution without bias and the batch-norm behind it, for one frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvNorm {
    in_channels: u64,
    out_channels: u64,
    kernel: u64,
    /// Part of the network: 0 is the stem, then come the stages. Activation checkpointing recomputes one part at a
    /// time.
    pub part: usize,
    /// Elements of the input.
    pub in_elements: u64,
    /// Elements of the output.
    pub out_elements: u64,
    /// Elements that stay for backward: the convolution's output, which is batch-norm's input, and the normalised
    /// output after ReLU, which works in place and is the next convolution's input. A shortcut keeps no normalised
    /// output.
    pub kept_elements: u64,
}

impl ConvNorm {
    /// Parameters: filters, and batch-norm's scale and shift.
    pub(super) fn parameters(&self) -> u64 {
        self.filters() + 2 * self.out_channels
    }

    fn filters(&self) -> u64 {
        self.in_channels * self.out_channels * self.kernel * self.kernel
    }

    fn learning_parameters(&self, freeze: &Freeze) -> u64 {
        match (freeze.parts[self.part], freeze.batch_norm) {
            (true, _) => 0,
            (false, true) => self.filters(),
            (false, false) => self.parameters(),
        }
    }

    fn multiplications(&self) -> u64 {
        self.out_elements * self.in_channels * self.kernel * self.kernel
    }
}

/// A ResNet without its last fully connected layer, for one frame.
pub(super) struct ResNet {
    /// The convolutions, in the order of the forward pass.
    pub convs: Vec<ConvNorm>,
    /// Elements after the max-pool behind the first convolution.
    pub pooled_elements: u64,
    /// Elements of the input of each part.
    pub part_inputs: Vec<u64>,
    /// Features after the average pool.
    pub feature_dim: u64,
}

/// The size of a feature map.
#[derive(Clone, Copy)]
struct Plane {
    channels: u64,
    height: u64,
    width: u64,
}

impl Plane {
    fn elements(self) -> u64 {
        self.channels * self.height * self.width
    }

    /// The size after a layer. All strided layers of a ResNet are padded so that n becomes n/2, rounded up.
    fn after(self, channels: u64, stride: u64) -> Self {
        Self { channels, height: self.height.div_ceil(stride), width: self.width.div_ceil(stride) }
    }
}

impl ResNet {
    pub(super) fn new(backbone: Backbone, frame_size: [usize; 2]) -> Self {
        let (blocks, expansion) = match backbone {
            Backbone::Resnet18 => ([2, 2, 2, 2], 1),
            Backbone::Resnet34 => ([3, 4, 6, 3], 1),
            Backbone::Resnet50 => ([3, 4, 6, 3], 4),
            Backbone::Resnet101 => ([3, 4, 23, 3], 4),
        };
        let mut convs = Vec::new();
        let frame = Plane { channels: 3, height: frame_size[0] as u64, width: frame_size[1] as u64 };
        let stem = push(&mut convs, frame, 64, 7, 2);
        let mut part_inputs = vec![frame.elements()];
        let mut plane = stem.after(64, 2);
        let pooled_elements = plane.elements();
        for (stage, blocks) in blocks.into_iter().enumerate() {
            part_inputs.push(plane.elements());
            let begun = convs.len();
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                plane = push_block(&mut convs, plane, 64 << stage, expansion, stride);
            }
            convs[begun..].iter_mut().for_each(|conv| conv.part = stage + 1);
        }
        Self { convs, pooled_elements, part_inputs, feature_dim: plane.channels }
    }

    /// Parameters: filters, and batch-norm's scales and shifts.
    pub(super) fn parameters(&self) -> u64 {
        self.convs.iter().map(ConvNorm::parameters).sum()
    }

    /// Multiplications of the convolutions in a forward pass of one frame.
    pub(super) fn multiplications(&self) -> u64 {
        self.convs.iter().map(ConvNorm::multiplications).sum()
    }

    /// Elements of the running means and variances of all batch-norms.
    pub(super) fn buffers(&self) -> u64 {
        self.convs.iter().map(|conv| 2 * conv.out_channels).sum()
    }
}

/// Adds a basic (two 3x3) or bottleneck (1x1, 3x3, 1x1) block; its shortcut is a 1x1 where the shape changes.
fn push_block(convs: &mut Vec<ConvNorm>, input: Plane, width: u64, expansion: u64, stride: u64) -> Plane {
    let output = if expansion == 1 {
        let middle = push(convs, input, width, 3, stride);
        push(convs, middle, width, 3, 1)
    } else {
        let narrow = push(convs, input, width, 1, 1);
        let middle = push(convs, narrow, width, 3, stride);
        push(convs, middle, width * expansion, 1, 1)
    };
    if input.channels != output.channels || stride != 1 {
        push(convs, input, output.channels, 1, stride);
        if let Some(shortcut) = convs.last_mut() {
            shortcut.kept_elements = shortcut.out_elements;
        }
    }
    output
}

fn push(convs: &mut Vec<ConvNorm>, input: Plane, out_channels: u64, kernel: u64, stride: u64) -> Plane {
    let output = input.after(out_channels, stride);
    convs.push(ConvNorm {
        in_channels: input.channels,
        out_channels,
        kernel,
        part: 0,
        in_elements: input.elements(),
        out_elements: output.elements(),
        kept_elements: 2 * output.elements(),
    });
    output
}

/// The head, which turns T feature vectors into one score.
pub(super) struct Head {
    parameters: u64,
    /// Parameters of the LSTM, which `parameters` includes.
    pub lstm_parameters: u64,
    /// Elements that stay for backward, for one clip.
    pub kept_elements: u64,
}

impl Head {
    pub(super) fn new(model: &ModelConfig, feature_dim: u64, frames: u64) -> Self {
        match model.temporal {
            Temporal::Mean => {
                Self { parameters: feature_dim + 1, lstm_parameters: 0, kept_elements: frames * (feature_dim + 1) }
            }
            Temporal::LstmAttention => Self::lstm_attention(model, feature_dim, frames),
        }
    }

    fn lstm_attention(model: &ModelConfig, feature_dim: u64, frames: u64) -> Self {
        let hidden = model.hidden_dim as u64;
        let width = 2 * hidden;
        let (mut parameters, mut kept_elements) = (0, 0);
        let mut input = feature_dim;
        for _ in 0..model.num_layers {
            // Four gates, with PyTorch's two biases, in two directions.
            parameters += 2 * 4 * hidden * (input + hidden + 2);
            // Each direction keeps its gates, cell state, the cell's tanh and its output; dropout keeps a copy.
            kept_elements += frames * (input + 2 * 7 * hidden + width);
            input = width;
        }
        let lstm_parameters = parameters;
        if model.use_attention {
            parameters += 3 * width * (width + 1) + width * (width + 1) + 2 * width;
            // Attention keeps queries, keys, values, context, sum and norm, and the scores before and after softmax and
            // dropout.
            kept_elements += frames * 6 * width + 3 * model.attention_heads as u64 * frames * frames;
        }
        parameters += hidden * (width + 1) + hidden + 1;
        kept_elements += width + 3 * hidden;
        Self { parameters, lstm_parameters, kept_elements }
    }
}

/// Backbone and head of the network that the configuration describes.
pub(super) fn network(model: &ModelConfig, data: &DataConfig) -> (ResNet, Head) {
    let resnet = ResNet::new(model.backbone, data.frame_size);
    let head = Head::new(model, resnet.feature_dim, data.max_frames as u64);
    (resnet, head)
}

/// Number of parameters of the whole detector, frozen ones included.
#[must_use]
pub fn parameter_count(model: &ModelConfig) -> u64 {
    // Neither the picture's size nor the clip's length changes the number of weights.
    let (resnet, head) = network(model, &DataConfig::default());
    resnet.parameters() + head.parameters
}

/// Number of parameters that learn, and so have gradients and moments.
#[must_use]
pub fn learning_parameter_count(model: &ModelConfig) -> u64 {
    let (resnet, head) = network(model, &DataConfig::default());
    resnet.convs.iter().map(|conv| conv.learning_parameters(&model.freeze)).sum::<u64>() + head.parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(backbone: Backbone, temporal: Temporal) -> ModelConfig {
        ModelConfig { backbone, temporal, ..ModelConfig::default() }
    }

    /// torchvision's published counts, less the 1000-way classifier.
    #[test]
    fn backbones_have_torchvisions_parameter_counts() {
        for (backbone, published, features) in [
            (Backbone::Resnet18, 11_689_512, 512),
            (Backbone::Resnet34, 21_797_672, 512),
            (Backbone::Resnet50, 25_557_032, 2048),
            (Backbone::Resnet101, 44_549_160, 2048),
        ] {
            let classifier = 1000 * features + 1000;
            let head = features + 1;
            let counted = parameter_count(&model(backbone, Temporal::Mean));
            assert_eq!(counted, published - classifier + head, "{backbone:?}");
        }
    }

    /// torchvision's published counts, in billions, which include the 2 or 0.5 million of the last layer.
    #[test]
    fn backbones_multiply_as_often_as_published() {
        for (backbone, billions) in [
            (Backbone::Resnet18, 1.81),
            (Backbone::Resnet34, 3.66),
            (Backbone::Resnet50, 4.09),
            (Backbone::Resnet101, 7.80),
        ] {
            let counted = ResNet::new(backbone, [224, 224]).multiplications() as f64 / 1e9;
            assert!((counted - billions).abs() < 0.01, "{backbone:?}: {counted}");
        }
    }

    /// Counted by PyTorch itself for the same modules on a ResNet-18 and a ResNet-50.
    #[test]
    fn the_head_has_pytorchs_parameter_counts() {
        let small =
            ModelConfig { hidden_dim: 256, attention_heads: 4, ..model(Backbone::Resnet18, Temporal::LstmAttention) };
        assert_eq!(parameter_count(&small), 15_513_665);
        assert_eq!(parameter_count(&model(Backbone::Resnet50, Temporal::LstmAttention)), 45_027_393);
        let plain = ModelConfig { use_attention: false, num_layers: 1, ..small };
        assert_eq!(parameter_count(&plain), 12_885_057);
    }

    #[test]
    fn planes_shrink_as_in_torchvision() {
        let resnet = ResNet::new(Backbone::Resnet50, [224, 224]);
        assert_eq!(resnet.convs.len(), 53);
        assert_eq!(resnet.convs[0].out_elements, 64 * 112 * 112);
        assert_eq!(resnet.pooled_elements, 64 * 56 * 56);
        assert_eq!(resnet.convs.last().map(|conv| conv.out_elements), Some(2048 * 7 * 7));
        let odd = ResNet::new(Backbone::Resnet18, [45, 33]);
        assert_eq!(odd.convs[0].out_elements, 64 * 23 * 17);
        assert_eq!(odd.pooled_elements, 64 * 12 * 9);
        assert_eq!(odd.convs.last().map(|conv| conv.out_elements), Some(512 * 2 * 2));
    }
}
