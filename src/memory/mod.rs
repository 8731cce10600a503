//! Readings of host and GPU memory, the out-of-memory guard, the predicted peak of a step, and advice.
