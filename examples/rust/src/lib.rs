//! What the example programs share: their arguments.
#![forbid(unsafe_code)]

/// The arguments of the program, exactly as many as `usage` has words; otherwise prints the usage
/// and ends the program.
#[must_use]
pub fn arguments<const N: usize>(usage: &str) -> [String; N] {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    arguments
        .collect::<Vec<_>>()
        .try_into()
        .unwrap_or_else(|_| {
            eprintln!("usage: {program} {usage}");
            std::process::exit(2)
        })
}
