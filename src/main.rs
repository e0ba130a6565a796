//! Arguments to a front, a front to the host, the host to an exit code.

fn main() {}
