//! The generation rule: a machine evaluates each batch on top of the ones before it. When one of them is not appended,
//! everything evaluated on top of it is void, whether or not it could be appended by itself (rule 26).

use crate::base::Mutant;

/// What became of the proposals of one group's machine.
#[derive(Debug, Default)]
pub(super) struct Generations {
    newest: u64,
    refused: bool,
}

impl Generations {
    /// Whether a proposal of this generation may still be appended. An older generation never may.
    pub fn admits(&mut self, generation: u64) -> bool {
        if generation > self.newest {
            *self = Generations { newest: generation, refused: false };
        }
        generation == self.newest && (!self.refused || Mutant::RefusedGenerationGoesOn.is_in())
    }

    /// The newest generation lost a proposal: all later ones of it are lost too.
    pub fn refuse(&mut self) {
        self.refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_26_a_refusal_takes_the_rest_of_its_generation_with_it() {
        let mut generations = Generations::default();
        assert!(generations.admits(0));
        assert!(generations.admits(3));
        generations.refuse();
        assert!(!generations.admits(3));
        assert!(!generations.admits(2), "an older one");
        assert!(generations.admits(4));
        assert!(!generations.admits(3), "a straggler");
        assert!(generations.admits(4), "does not harm the newer one");
    }
}
