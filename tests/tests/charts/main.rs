//! The charts: what they render, what they refuse, and that every figure, alert and permission in
//! them is one that the programs have.
//!
//! Needs helm from the control plane's folder, and promtool from Debian's package `prometheus`:
//! `cargo xtask test` brings both. `UPDATE=1` writes README.md of the chart anew.
//! Lint, kubeconform, install and upgrade on a real API server are in the proof `charts`.

mod alerts;
mod dashboards;
mod goldens;
mod helm;
mod promtool;
mod readme;
