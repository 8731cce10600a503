//! The nodes of the temporal head: from the features of a clip's frames to logits. Knows nothing of pixels; that is
//! `backbone.rs`.

use tch::Tensor;

use super::graph_builder::{GraphBuilder, float, int, ints, text};
use super::names::{CLIP_LOGITS, FRAME_LOGITS, FRAMES};
use crate::config::ModelConfig;
use crate::export::error::ExportError;
use crate::torch::Result as TorchResult;

/// Adds the nodes from features `[B x T, F]` to the two outputs.
pub(super) fn head(graph: &mut GraphBuilder, features_nf: &str, model: &ModelConfig) -> Result<(), ExportError> {
    let features_nf = &if model.normalize_features { normalized(graph, features_nf)? } else { features_nf.to_owned() };
    if graph.has("head.fc.weight") {
        let logits_n1 = linear(graph, features_nf, "head.fc.weight", "head.fc.bias")?;
        let shape = clips_and_frames(graph, &[]);
        graph.named_node("Reshape", &[&logits_n1, &shape], FRAME_LOGITS, vec![]);
        let over_frames = vec![ints("axes", &[1]), int("keepdims", 0)];
        graph.named_node("ReduceMean", &[FRAME_LOGITS], CLIP_LOGITS, over_frames);
        return Ok(());
    }
    let shape = clips_and_frames(graph, &[-1]);
    let features_btf = graph.node("Reshape", &[features_nf, &shape], vec![]);
    let mut states_btd = lstm(graph, &features_btf)?;
    if graph.has("head.attention.in_proj_weight") {
        states_btd = attention(graph, &states_btd, model.attention_heads as i64)?;
    }
    let states_nd = rows(graph, &states_btd);
    let pooled_bd = graph.node("ReduceMean", &[&states_btd], vec![ints("axes", &[1]), int("keepdims", 0)]);
    let mut weights = Vec::new();
    for layer in (0..).map(|number| format!("head.classifier.{}", 3 * number)) {
        if !graph.has(&format!("{layer}.weight")) {
            break;
        }
        weights.push([graph.weight(&format!("{layer}.weight"))?, graph.weight(&format!("{layer}.bias"))?]);
    }
    let frame_logits = classify(graph, &states_nd, &weights);
    let shape = clips_and_frames(graph, &[]);
    graph.named_node("Reshape", &[&frame_logits, &shape], FRAME_LOGITS, vec![]);
    let clip_logits = classify(graph, &pooled_bd, &weights);
    let flat = graph.sizes(&[-1]);
    graph.named_node("Reshape", &[&clip_logits, &flat], CLIP_LOGITS, vec![]);
    Ok(())
}

/// Features of length 1.
fn normalized(graph: &mut GraphBuilder, features_nf: &str) -> Result<String, ExportError> {
    let length_n1 = graph.node("ReduceL2", &[features_nf], vec![ints("axes", &[1]), int("keepdims", 1)]);
    let least = graph.number(1e-12)?;
    let length_n1 = graph.node("Max", &[&length_n1, &least], vec![]);
    Ok(graph.node("Div", &[features_nf, &length_n1], vec![]))
}

/// The shape `[B, T, rest..]` as a tensor, with B and T of the input.
fn clips_and_frames(graph: &mut GraphBuilder, rest: &[i64]) -> String {
    let shape = graph.node("Shape", &[FRAMES], vec![int("start", 0), int("end", 2)]);
    if rest.is_empty() {
        return shape;
    }
    let rest = graph.sizes(rest);
    graph.node("Concat", &[&shape, &rest], vec![int("axis", 0)])
}

/// `[B, T, D]` to `[B x T, D]`.
fn rows(graph: &mut GraphBuilder, x_btd: &str) -> String {
    graph.node("Flatten", &[x_btd], vec![int("axis", 2)])
}

/// `y = x W^T + b` on rows.
fn linear(graph: &mut GraphBuilder, x: &str, weight: &str, bias: &str) -> Result<String, ExportError> {
    let (weight, bias) = (graph.weight(weight)?, graph.weight(bias)?);
    Ok(graph.node("Gemm", &[x, &weight, &bias], vec![int("transB", 1)]))
}

/// The classifier. It is used twice with the same weights: for frames, and for their mean.
fn classify(graph: &mut GraphBuilder, x: &str, layers: &[[String; 2]]) -> String {
    let mut x = x.to_owned();
    for (number, [weight, bias]) in layers.iter().enumerate() {
        if number > 0 {
            x = graph.node("Relu", &[&x], vec![]);
        }
        x = graph.node("Gemm", &[&x, weight, bias], vec![int("transB", 1)]);
    }
    x
}

/// All layers of the bidirectional LSTM: `[B, T, F]` to `[B, T, 2 x hidden]`.
fn lstm(graph: &mut GraphBuilder, x_btf: &str) -> Result<String, ExportError> {
    let mut x_tbi = graph.node("Transpose", &[x_btf], vec![ints("perm", &[1, 0, 2])]);
    for layer in 0.. {
        if !graph.has(&format!("head.lstm.weight_ih_l{layer}")) {
            break;
        }
        let part = |graph: &mut GraphBuilder, kind: &str, direction: &str| {
            let tensor = graph.take(&format!("head.lstm.{kind}_l{layer}{direction}"))?;
            Ok::<_, ExportError>(gates(tensor)?)
        };
        let (mut inputs, mut recurrent, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        for direction in ["", "_reverse"] {
            inputs.push(part(graph, "weight_ih", direction)?);
            recurrent.push(part(graph, "weight_hh", direction)?);
            let both = [part(graph, "bias_ih", direction)?, part(graph, "bias_hh", direction)?];
            biases.push(Tensor::f_cat(&both, 0)?);
        }
        let hidden = recurrent[0].size()[1];
        let w = graph.floats(&format!("head.lstm.w_l{layer}"), &Tensor::f_stack(&inputs, 0)?)?;
        let r = graph.floats(&format!("head.lstm.r_l{layer}"), &Tensor::f_stack(&recurrent, 0)?)?;
        let b = graph.floats(&format!("head.lstm.b_l{layer}"), &Tensor::f_stack(&biases, 0)?)?;
        let settings = vec![int("hidden_size", hidden), text("direction", "bidirectional")];
        let y_tdbh = graph.node("LSTM", &[&x_tbi, &w, &r, &b], settings);
        let y_tbdh = graph.node("Transpose", &[&y_tdbh], vec![ints("perm", &[0, 2, 1, 3])]);
        let joined = graph.sizes(&[0, 0, -1]);
        x_tbi = graph.node("Reshape", &[&y_tbdh, &joined], vec![]);
    }
    Ok(graph.node("Transpose", &[&x_tbi], vec![ints("perm", &[1, 0, 2])]))
}

/// Reorders LSTM gates: PyTorch stacks them as input, forget, cell, output; ONNX as input, output, forget, cell.
fn gates(tensor: &Tensor) -> TorchResult<Tensor> {
    let gates = tensor.f_detach()?.f_chunk(4, 0)?;
    Tensor::f_cat(&[&gates[0], &gates[3], &gates[1], &gates[2]], 0)
}

/// Self-attention over frames with residual and layer norm: `[B, T, D]` to `[B, T, D]`.
fn attention(graph: &mut GraphBuilder, x_btd: &str, heads: i64) -> Result<String, ExportError> {
    let x_nd = rows(graph, x_btd);
    let name = "head.attention.in_proj_weight";
    let weight = graph.take(name)?;
    let width = weight.size()[1];
    let (weight, bias) = (graph.floats(name, weight)?, graph.weight("head.attention.in_proj_bias")?);
    let projected = graph.node("Gemm", &[&x_nd, &weight, &bias], vec![int("transB", 1)]);
    let shape = clips_and_frames(graph, &[3, heads, width / heads]);
    let projected = graph.node("Reshape", &[&projected, &shape], vec![]);
    let by_head = graph.node("Transpose", &[&projected], vec![ints("perm", &[2, 0, 3, 1, 4])]);
    let pick = |graph: &mut GraphBuilder, which: i64| {
        let index = graph.scalar(which);
        graph.node("Gather", &[&by_head, &index], vec![int("axis", 0)])
    };
    let (q, k, v) = (pick(graph, 0), pick(graph, 1), pick(graph, 2));
    let k = graph.node("Transpose", &[&k], vec![ints("perm", &[0, 1, 3, 2])]);
    let scores = graph.node("MatMul", &[&q, &k], vec![]);
    let scale = Tensor::f_from_slice(&[((width / heads) as f32).sqrt()])?;
    let scale = graph.floats("attention_scale", &scale)?;
    let scores = graph.node("Div", &[&scores, &scale], vec![]);
    let shares = graph.node("Softmax", &[&scores], vec![int("axis", -1)]);
    let mixed = graph.node("MatMul", &[&shares, &v], vec![]);
    let mixed = graph.node("Transpose", &[&mixed], vec![ints("perm", &[0, 2, 1, 3])]);
    let mixed_nd = rows(graph, &mixed);
    let mixed_nd = linear(graph, &mixed_nd, "head.attention.out_proj.weight", "head.attention.out_proj.bias")?;
    let shape = clips_and_frames(graph, &[width]);
    let mixed_btd = graph.node("Reshape", &[&mixed_nd, &shape], vec![]);
    let sum = graph.node("Add", &[&mixed_btd, x_btd], vec![]);
    let (weight, bias) = (graph.weight("head.norm.weight")?, graph.weight("head.norm.bias")?);
    Ok(graph.node("LayerNormalization", &[&sum, &weight, &bias], vec![int("axis", -1), float("epsilon", 1e-5)]))
}
