//! `boundary ROUNDS LIBRARY… LIBRARY#FUNCTION…`: makes every call across the boundary this many times, for use under
//! valgrind.

use plugfit_tests::boundary::Boundary;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().and_then(|rounds| rounds.parse().ok()).expect("how many rounds");
    let boundary = Boundary::new(&arguments.collect::<Vec<_>>());
    let created: Vec<usize> = (0..rounds).map(|_| boundary.round()).collect();
    println!("{rounds} rounds of {} components", created.first().unwrap_or(&0));
}
