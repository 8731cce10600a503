//! What watching memory costs while nothing happens, and that it leaves nothing behind.
//!
//! `cargo bench --bench memory -- monitor` runs steps of a small convolution network on one thread with and without a
//! memory manager, in turns, and prints both medians; besides, what a safe point, a reading and a clean-up cost.
//! `cargo bench --bench memory -- flat` looks and cleans up thousands of times and prints what stays resident.

use std::time::{Duration, Instant};

use dfdetect::config::MemoryManagement;
use dfdetect::memory::{MemoryManager, MemoryPolicy, Reading, Reason, process_rss_bytes};
use tch::{Device, Kind, TchError, Tensor};

/// Steps between two readings of the trainer: the default of `logging.memory_log_interval`.
const STEPS_A_LINE: u64 = 10;

fn main() -> Result<(), TchError> {
    match std::env::args().nth(1).as_deref() {
        Some("monitor") => monitor(),
        Some("flat") => {
            flat();
            Ok(())
        }
        // `cargo test` runs benches too, without a mode; `cargo bench` alone passes `--bench`.
        _ => {
            println!("modes: monitor, flat");
            Ok(())
        }
    }
}

/// The defaults, but a look every second instead of every 30.
fn manager() -> MemoryManager {
    let policy = MemoryPolicy { interval: Duration::from_secs(1), ..MemoryPolicy::from(&MemoryManagement::default()) };
    MemoryManager::start(&policy, || Reading::take(Device::Cpu))
}

fn step(weights: &mut [Tensor]) -> Result<(), TchError> {
    let mut x = Tensor::f_ones([4, 16, 112, 112], (Kind::Float, Device::Cpu))?;
    for weight in weights.iter() {
        x = x.f_conv2d(weight, None::<Tensor>, 1, 1, 1, 1)?.f_relu()?;
    }
    x.f_mean(Kind::Float)?.f_backward()?;
    weights.iter_mut().for_each(Tensor::zero_grad);
    Ok(())
}

fn monitor() -> Result<(), TchError> {
    tch::set_num_threads(1);
    let shapes = [[32, 16, 3, 3], [32, 32, 3, 3], [16, 32, 3, 3]];
    let weight = |shape: [i64; 4]| Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_set_requires_grad(true);
    let mut weights = shapes.map(weight).into_iter().collect::<Result<Vec<_>, _>>()?;
    let (mut off_ms, mut on_ms) = (Vec::new(), Vec::new());
    for block in 0..40 {
        let manager = (block % 2 == 1).then(manager);
        for number in 1..=STEPS_A_LINE {
            let started = Instant::now();
            step(&mut weights)?;
            if let Some(manager) = &manager {
                manager.safe_point(number);
                if number == STEPS_A_LINE {
                    std::hint::black_box(manager.read());
                }
            }
            let times = if manager.is_some() { &mut on_ms } else { &mut off_ms };
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let (off_ms, on_ms) = (median(&mut off_ms), median(&mut on_ms));
    let manager = manager();
    let us = |times: u32, work: &dyn Fn()| {
        let started = Instant::now();
        (0..times).for_each(|_| work());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    };
    let safe_point_us = us(1_000_000, &|| {
        manager.safe_point(1);
    });
    let read_us = us(2000, &|| {
        std::hint::black_box(manager.read());
    });
    let clean_us = us(200, &|| {
        manager.clean(Reason::Scheduled);
    });
    let a_step_us = safe_point_us + read_us / STEPS_A_LINE as f64 + read_us * on_ms / 30_000.0;
    let numbers = serde_json::json!({
        "step_off_ms": off_ms, "step_on_ms": on_ms, "ratio": on_ms / off_ms, "safe_point_us": safe_point_us,
        "read_us": read_us, "clean_us": clean_us, "share_of_step": a_step_us / (off_ms * 1000.0),
    });
    println!("{numbers}");
    Ok(())
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn flat() {
    let manager = manager();
    let work = |rounds: usize| {
        for _ in 0..rounds {
            for step in 0..100 {
                manager.safe_point(step);
                std::hint::black_box(manager.read());
            }
            manager.clean(Reason::Scheduled);
            // As the trainer does: whoever lets them pile up keeps them.
            drop(manager.take_cleanups());
        }
    };
    work(20);
    let before = process_rss_bytes().unwrap_or(0);
    work(1000);
    let after = process_rss_bytes().unwrap_or(0);
    println!(
        "{}",
        serde_json::json!({ "cleanups": 1000, "readings": 102_000, "grown_bytes": after as i64 - before as i64 })
    );
}
