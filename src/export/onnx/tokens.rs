//! The nodes of a Vision Transformer's own layers: embeddings and attention.

use super::backbone::Nodes;
use super::graph_builder::{int, ints};
use crate::backbone::{Attention, Embeddings, Linear};
use crate::export::error::ExportError;
use crate::model::positions_tc;

impl Nodes<'_, '_> {
    /// Images `[N, 3, H, W]` to tokens `[N, C, T, 1]`. The class token is the same for each image, so it is added as a
    /// part of the positions: the row of zeros in front of the patches takes it.
    pub(super) fn embeddings(&mut self, embeddings: &Embeddings, images: &str) -> Result<String, ExportError> {
        let patches_nchw = self.conv(&embeddings.patches, images)?;
        let shape = self.graph.sizes(&[0, 0, -1, 1]);
        let patches_ncp1 = self.graph.node("Reshape", &[&patches_nchw, &shape], vec![]);
        let pads = self.graph.sizes(&[0, 0, 1, 0, 0, 0, 0, 0]);
        let padded_nct1 = self.graph.node("Pad", &[&patches_ncp1, &pads], vec![]);

        let plane = embeddings.patches.output(self.image);
        let rows_and_columns = [plane.height, plane.width].map(|side| side as i64);
        let class_token = self.graph.take(&format!("backbone.{}", embeddings.class_token.name))?;
        let name = format!("backbone.{}", embeddings.positions.name);
        let positions_tc = positions_tc(self.graph.take(&name)?, embeddings.side as i64, rows_and_columns)?;
        let positions_tc = positions_tc.f_detach_copy()?;
        let _ = positions_tc.f_select(0, 0)?.f_add_(&class_token.f_view([-1])?)?;
        let positions_ct1 = positions_tc.f_transpose(0, 1)?.f_unsqueeze(2)?;
        let positions = self.graph.floats(&name, &positions_ct1)?;
        Ok(self.graph.node("Add", &[&padded_nct1, &positions], vec![]))
    }

    /// Cells `[N, T, 1, C]` to cells of the same shape.
    pub(super) fn attention(&mut self, attention: &Attention, x_nt1c: &str) -> Result<String, ExportError> {
        let Attention { query, key, value, output, heads } = attention;
        let head_width = query.outputs / heads;
        let query_nhtd = self.heads(query, *heads, x_nt1c)?;
        let key_nhtd = self.heads(key, *heads, x_nt1c)?;
        let value_nhtd = self.heads(value, *heads, x_nt1c)?;
        let key_nhdt = self.graph.node("Transpose", &[&key_nhtd], vec![ints("perm", &[0, 1, 3, 2])]);
        let products = self.graph.node("MatMul", &[&query_nhtd, &key_nhdt], vec![]);
        let scale = self.graph.number((head_width as f32).sqrt().recip())?;
        let scaled = self.graph.node("Mul", &[&products, &scale], vec![]);
        let weights = self.graph.node("Softmax", &[&scaled], vec![int("axis", -1)]);
        let mean_nhtd = self.graph.node("MatMul", &[&weights, &value_nhtd], vec![]);
        let mean_nthd = self.graph.node("Transpose", &[&mean_nhtd], vec![ints("perm", &[0, 2, 1, 3])]);
        let shape = self.graph.sizes(&[0, 0, 1, query.outputs as i64]);
        let mean_nt1c = self.graph.node("Reshape", &[&mean_nthd, &shape], vec![]);
        self.linear(output, &mean_nt1c)
    }

    /// A linear layer's output, `[N, heads, T, C / heads]`.
    fn heads(&mut self, linear: &Linear, heads: usize, x_nt1c: &str) -> Result<String, ExportError> {
        let y_nt1c = self.linear(linear, x_nt1c)?;
        let shape = self.graph.sizes(&[0, 0, heads as i64, (linear.outputs / heads) as i64]);
        let y_nthd = self.graph.node("Reshape", &[&y_nt1c, &shape], vec![]);
        Ok(self.graph.node("Transpose", &[&y_nthd], vec![ints("perm", &[0, 2, 1, 3])]))
    }
}
