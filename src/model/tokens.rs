//! The layers of Vision Transformers beside those of `layers.rs`: embeddings and attention. Tokens pass between layers
//! as cells `[N, C, T, 1]`, in channels-last memory, so that `[N, T, C]` is a view of them.

use tch::{Kind, Tensor};

use super::layers::{Conv, Linear};
use super::parameters::{Init, Scope};
use crate::backbone;
use crate::torch::Result;

/// Standard deviation of first weights, as in the papers.
const DEVIATION: f64 = 0.02;

/// Patches of an image behind a class token, with their positions.
#[derive(Debug)]
pub(super) struct Embeddings {
    patches: Conv,
    class_token: Tensor,
    positions: Tensor,
    /// Rows and columns of the patches' positions.
    side: i64,
}

impl Embeddings {
    pub fn new(scope: &mut Scope, described: &backbone::Embeddings) -> Result<Self> {
        let mut own = |weight: &backbone::Weight| {
            let shape: Vec<_> = weight.shape.iter().map(|size| *size as i64).collect();
            scope.weight(&weight.name, &shape, Init::Normal(DEVIATION))
        };
        let (class_token, positions) = (own(&described.class_token)?, own(&described.positions)?);
        let patches = Conv::new(&mut scope.part(&described.patches.name), &described.patches)?;
        Ok(Self { patches, class_token, positions, side: described.side as i64 })
    }

    /// Images `[N, 3, H, W]` to tokens `[N, C, T, 1]`.
    pub fn forward(&self, images_nchw: &Tensor) -> Result<Tensor> {
        let patches_nchw = self.patches.forward(images_nchw)?;
        let rows_and_columns = [2, 3].map(|dim| patches_nchw.size()[dim]);
        let patches_npc = patches_nchw.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let one_n1c = patches_npc.f_narrow(1, 0, 1)?;
        let class_n1c = self.class_token.f_view([1, 1, -1])?.f_to_kind(one_n1c.kind())?.f_expand_as(&one_n1c)?;
        let tokens_ntc = Tensor::f_cat(&[class_n1c, patches_npc], 1)?;
        let tokens_ntc = tokens_ntc.f_add(&positions_tc(&self.positions, self.side, rows_and_columns)?)?;
        tokens_ntc.f_unsqueeze(2)?.f_permute([0, 3, 1, 2])
    }
}

/// Positions `[1 + rows * columns, C]` of a class token and of rows and columns of patches: the trained ones, of side x
/// side patches, or bicubic interpolation between them, as in transformers.
///
/// # Errors
/// The trained ones are not so many.
pub fn positions_tc(trained: &Tensor, side: i64, [rows, columns]: [i64; 2]) -> Result<Tensor> {
    let trained_tc = trained.f_view([1 + side * side, -1])?;
    if [rows, columns] == [side; 2] {
        return Ok(trained_tc);
    }
    let grid_gc = trained_tc.f_narrow(0, 1, side * side)?;
    // Each trained position's share in each new one. The product has a backward pass that is deterministic on CUDA,
    // which interpolation itself has not; in float64, autocast leaves it alone.
    let identity_gg = grid_gc.f_select(1, 0)?.f_ones_like()?.f_to_kind(Kind::Double)?.f_diag(0)?;
    let identity_1ghw = identity_gg.f_unflatten(1, [side, side])?.f_unsqueeze(0)?;
    let shares_1ghw = identity_1ghw.f_upsample_bicubic2d([rows, columns], false, None, None)?;
    let shares_pg = shares_1ghw.f_flatten(2, 3)?.f_squeeze_dim(0)?.f_transpose(0, 1)?;
    let patches_pc = shares_pg.f_matmul(&grid_gc.f_to_kind(Kind::Double)?)?.f_to_kind(trained.kind())?;
    Tensor::f_cat(&[trained_tc.f_narrow(0, 0, 1)?, patches_pc], 0)
}

/// Multi-head attention of tokens to each other.
#[derive(Debug)]
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: i64,
}

impl Attention {
    pub fn new(scope: &mut Scope, described: &backbone::Attention) -> Result<Self> {
        let mut linear =
            |linear: &backbone::Linear| Linear::new(scope, &linear.name, linear.inputs as i64, linear.outputs as i64);
        Ok(Self {
            query: linear(&described.query)?,
            key: linear(&described.key)?,
            value: linear(&described.value)?,
            output: linear(&described.output)?,
            heads: described.heads as i64,
        })
    }

    /// Cells `[N, T, 1, C]` to cells of the same shape.
    pub fn forward(&self, x_nt1c: &Tensor) -> Result<Tensor> {
        let x_ntc = x_nt1c.f_flatten(1, 2)?;
        let heads_nhtd = |linear: &Linear| linear.forward(&x_ntc)?.f_unflatten(-1, [self.heads, -1])?.f_transpose(1, 2);
        let (query, key, value) = (heads_nhtd(&self.query)?, heads_nhtd(&self.key)?, heads_nhtd(&self.value)?);
        let mean_nhtd =
            Tensor::f_scaled_dot_product_attention::<Tensor>(&query, &key, &value, None, 0.0, false, None, false)?;
        self.output.forward(&mean_nhtd.f_transpose(1, 2)?.f_flatten(2, 3)?)?.f_unsqueeze(2)
    }
}
