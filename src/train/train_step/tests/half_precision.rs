//! Steps in half precision, against float32.

use tch::Kind;

use super::*;

/// Networks without batch norm, which with a few frames and random weights enlarges rounding until gradients differ.
#[test]
fn half_precision_takes_the_gradients_of_float32() {
    let _alone = generator_lock();
    for backbone in [Backbone::ConvnextTiny, Backbone::Dinov2Vits14, Backbone::VitB16Clip] {
        let (loss, gradient) = loss_and_gradient(backbone, Precision::Off);
        for precision in [Precision::Bf16, Precision::Fp16] {
            let (half_loss, half_gradient) = loss_and_gradient(backbone, precision);
            let difference = (&half_gradient - &gradient).norm().double_value(&[]) / gradient.norm().double_value(&[]);
            assert!((half_loss - loss).abs() < 2e-3 * loss, "{backbone:?}, {precision:?}: {half_loss} is not {loss}");
            assert!(
                difference > 0.0 && difference < 0.05,
                "{backbone:?}, {precision:?}: gradients differ by {difference}"
            );
        }
    }
}

/// The loss of four clips, and its gradients as one vector, fp16's with loss scaling.
fn loss_and_gradient(backbone: Backbone, precision: Precision) -> (f64, Tensor) {
    let mut config = of(backbone, Temporal::Mean, 0.0);
    config.gpu.mixed_precision = precision;
    let mut stepper = stepper(&config);
    stepper.scaler = LossScaler::new(precision == Precision::Fp16);
    let (batches, size) = ([batch(&config, 0, 4)], MicroBatchSize::whole(4));
    let step = forward_backward(&mut stepper, &config, &batches, size, Mode::Train(Draws::new(5)));
    let gradients: Vec<_> = gradients(&stepper).iter().map(|gradient| gradient.reshape(-1)).collect();
    (step.loss, Tensor::cat(&gradients, 0).to_kind(Kind::Double))
}
