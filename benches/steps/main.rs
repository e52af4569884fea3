//! What each step of a request costs: reading, verifying, naming, transforming.

mod key;
mod parse;
mod signature;
mod transform;

fn main() {
    divan::main();
}
