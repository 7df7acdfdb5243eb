//! The device beside a model of a guest's driver and of the host's streams.

mod flow;
mod host;
mod hostile;
mod lifecycle;
mod random;
mod world;
