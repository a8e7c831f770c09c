//! `boundary ROUNDS LIBRARY… LIBRARY#FUNCTION…`: every call across the boundary, so many times, for valgrind to look at.

use plugfit_tests::boundary::Boundary;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().and_then(|rounds| rounds.parse().ok()).expect("how many rounds");
    let boundary = Boundary::new(&arguments.collect::<Vec<_>>());
    let made: Vec<usize> = (0..rounds).map(|_| boundary.round()).collect();
    println!("{rounds} rounds of {} components", made.first().unwrap_or(&0));
}
