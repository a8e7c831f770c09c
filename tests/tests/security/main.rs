//! Tests of what protects a program from plug-ins: locks, signatures, and checks of everything that a plug-in returns.

mod hostile_plugins;
mod lock;
mod trust;
