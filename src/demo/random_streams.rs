//! Independent streams of random numbers, one kind for each purpose. What is drawn from a stream is up to the caller.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are used for. Each purpose has its own streams, so that a change to one does not affect the
/// others.
#[derive(Debug, Clone, Copy)]
pub(super) enum RandomStream {
    Person = 1,
    Scene = 2,
    Swap = 3,
    Camera = 4,
}

/// The random numbers of stream `number` for a purpose.
pub(super) fn random(seed: u64, stream: RandomStream, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((stream as u64) << 48 | number as u64);
    rng
}
