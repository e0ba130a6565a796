//! What becomes of a call by its number alone, found by halving.
//!
//! The kernel runs a program for every number once when it is installed, to learn which are always
//! allowed, and for all the others whenever they are called; it also translates each instruction.
//! So the program is short and no way through it is long.
//!
//! ```text
//! at least? -> at least? -> equal? equal? -> allow | absent | refuse | ask | what follows
//! ```

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{BpfProgram, sock_filter};

/// "Not in this kernel", and "not for you".
pub(super) const ABSENCE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
pub(super) const REFUSAL: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();

/// The answers behind the questions; `Judged` has none and goes on behind them.
const ANSWERS: [u32; 4] = [libc::SECCOMP_RET_ALLOW, ABSENCE, REFUSAL, libc::SECCOMP_RET_USER_NOTIF];
const ALLOWED_AT: usize = 0;

/// Numbers that are compared one after the other.
const LEAF_COUNT: usize = 4;

/// What becomes of a call; those without a verdict are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answered as if the kernel lacked it.
    Absent,
    Refused,
    /// The supervisor answers.
    Asked,
    /// Its arguments decide, and what follows looks at them.
    Judged,
}

impl Verdict {
    /// Where its answer stands behind the questions.
    fn at(self) -> usize {
        match self {
            Verdict::Absent => 1,
            Verdict::Refused => 2,
            Verdict::Asked => 3,
            Verdict::Judged => ANSWERS.len(),
        }
    }
}

/// The program for these verdicts, behind which those follow that arguments decide. The number must
/// be loaded, and is when it goes on. `None` if a jump would be too long for the format.
pub(super) fn program(verdicts: &BTreeMap<c_long, Verdict>) -> Option<BpfProgram> {
    let points: Option<Vec<Point>> = verdicts
        .iter()
        .map(|(number, verdict)| Some((u32::try_from(*number).ok()?, *verdict)))
        .collect();
    let mut questions = Vec::with_capacity(verdicts.len() * 2);
    ask(&points?, &mut questions);
    let mut program = Vec::with_capacity(questions.len() + ANSWERS.len());
    for (at, question) in questions.iter().enumerate() {
        // From the next instruction on.
        let to_answer = |answer: usize| u8::try_from(questions.len() - at - 1 + answer).ok();
        program.push(match *question {
            Question::AtLeast { number, otherwise } => {
                jump(libc::BPF_JGE, number, u8::try_from(otherwise).ok()?, 0)
            }
            Question::Equal { number, verdict, is_last } => {
                let other = if is_last { to_answer(ALLOWED_AT)? } else { 0 };
                jump(libc::BPF_JEQ, number, to_answer(verdict.at())?, other)
            }
        });
    }
    if questions.is_empty() {
        return Some(vec![answer(libc::SECCOMP_RET_ALLOW)]);
    }
    program.extend(ANSWERS.map(answer));
    Some(program)
}

/// A number and its verdict.
type Point = (u32, Verdict);

#[derive(Clone, Copy)]
enum Question {
    /// Passes over so many questions if the number is as high.
    AtLeast { number: u32, otherwise: usize },
    /// Goes to the verdict if it is the number; if it is not and no question is left, to the
    /// allowing answer.
    Equal { number: u32, verdict: Verdict, is_last: bool },
}

fn ask(points: &[Point], questions: &mut Vec<Question>) {
    if points.len() <= LEAF_COUNT {
        for (at, (number, verdict)) in points.iter().enumerate() {
            let is_last = at + 1 == points.len();
            questions.push(Question::Equal { number: *number, verdict: *verdict, is_last });
        }
        return;
    }
    let (low, high) = points.split_at(points.len() / 2);
    let at = questions.len();
    let number = high[0].0;
    questions.push(Question::AtLeast { number, otherwise: 0 });
    ask(low, questions);
    questions[at] = Question::AtLeast { number, otherwise: questions.len() - at - 1 };
    ask(high, questions);
}

/// An instruction that loads the word at an offset of `struct seccomp_data`: 0 number, 4 arch.
pub(super) fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

pub(super) fn jump(comparison: u32, word: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, if_true, if_false, word)
}

pub(super) fn answer(value: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

pub(super) fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    // Codes have 16 bits by definition of the format.
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program says to a number, and after how many instructions; `None` if it goes on.
    fn run(program: &[sock_filter], number: u32) -> (Option<u32>, usize) {
        let mut at = 0;
        for steps in 1.. {
            let Some(step) = program.get(at) else { return (None, steps) };
            let holds = match u32::from(step.code) & 0xf0 {
                libc::BPF_JEQ => number == step.k,
                libc::BPF_JGE => number >= step.k,
                _ => return (Some(step.k), steps),
            };
            at += 1 + usize::from(if holds { step.jt } else { step.jf });
        }
        unreachable!("every jump goes forward")
    }

    fn check(points: &[(c_long, Verdict)]) {
        let verdicts = BTreeMap::from_iter(points.iter().copied());
        let program = program(&verdicts).unwrap();
        for number in 0..600 {
            let expected = match verdicts.get(&c_long::from(number)) {
                None => Some(libc::SECCOMP_RET_ALLOW),
                Some(Verdict::Absent) => Some(ABSENCE),
                Some(Verdict::Refused) => Some(REFUSAL),
                Some(Verdict::Asked) => Some(libc::SECCOMP_RET_USER_NOTIF),
                Some(Verdict::Judged) => None,
            };
            let (said, steps) = run(&program, number);
            assert_eq!(said, expected, "{number} of {points:?}");
            assert!(steps <= 12, "{steps} for {number}");
        }
    }

    #[test]
    fn every_number_meets_its_verdict() {
        use Verdict::{Absent, Asked, Judged, Refused};
        check(&[]);
        check(&[(0, Refused)]);
        check(&[(599, Judged), (0, Asked)]);
        let kinds = [Absent, Refused, Asked, Judged, Refused];
        for stride in [1, 3, 7] {
            for count in 1..100 {
                let points: Vec<_> =
                    (0..count).map(|at| (at * stride, kinds[at as usize % 5])).collect();
                check(&points);
            }
        }
    }

    #[test]
    fn what_the_format_cannot_say_is_not_said_wrongly() {
        let points = (0..300).map(|number| (number, Verdict::Refused));
        assert!(program(&BTreeMap::from_iter(points)).is_none());
    }
}
