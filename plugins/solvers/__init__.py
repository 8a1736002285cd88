"""The list of the built-in solvers. Each has a file with its formula, its source and its options."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .competitive.acgd import Acgd
from .competitive.cgd import Cgd
from .competitive.lcgd import Lcgd
from .descent.altgd import Altgd
from .descent.conopt import Conopt
from .descent.hamiltonian import Hamiltonian
from .descent.jare import Jare, RegDiscriminatorOnly, RegGeneratorOnly
from .descent.sga import Sga
from .descent.simgd import Simgd
from .extrapolation.adversarial_extrapolation import AdversarialExtrapolation
from .extrapolation.alex_gda import AlexGda
from .extrapolation.extragradient import Extragradient
from .extrapolation.implicit_euler import ImplicitEuler
from .extrapolation.lookahead_minmax import LookaheadMinmax
from .extrapolation.ogda import Ogda
from .extrapolation.past_extragradient import PastExtragradient
from .shaping.best_response import BestResponse
from .shaping.leaders import FollowTheRidge, Stackelberg
from .shaping.lookahead import La, Lola, Sos
from .shaping.unrolled import Unrolled

NUMERICS = "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461"
JARE = "Nie, Patel 2020, arXiv 1806.09235"
ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852"
CGD = "Schäfer, Anandkumar 2019, arXiv 1905.12103"
VIP = "Gidel et al. 2019, arXiv 1802.10551"
SOS = "Letcher et al. 2019, arXiv 1811.08469"


@hookimpl
def register_solvers() -> list[Entry]:
    """The built-in solvers."""
    return [
        Entry("simgd", Simgd, "simultaneous gradient descent", NUMERICS + ", Alg. 1"),
        Entry("altgd", Altgd, "alternating gradient descent, with repeated moves", NUMERICS + ", Alg. 3"),
        Entry("extragradient", Extragradient, "step along the field one step ahead", VIP + ", Alg. 2, 4"),
        Entry("past-extragradient", PastExtragradient, "the same with one gradient a step", VIP + ", eq. 14-15"),
        Entry(
            "alex-gda", AlexGda, "alternating play on extrapolated points", "Lee et al. 2024, arXiv 2402.10475, Alg. 1"
        ),
        Entry("ogda", Ogda, "optimism: v + (v - last v)", "Daskalakis et al. 2018, arXiv 1711.00141"),
        Entry("conopt", Conopt, "consensus optimisation: v + gamma J^T v", NUMERICS + ", Alg. 2"),
        Entry("jare", Jare, "Jacobian regularisation: v + gamma J_off^T v", JARE + ", eq. 7"),
        Entry("reg-generator-only", RegGeneratorOnly, "jare's charge on the first player", JARE + ", section 5.1"),
        Entry("reg-discriminator-only", RegDiscriminatorOnly, "jare's charge on the others", JARE + ", section 5.1"),
        Entry(
            "adversarial-extrapolation",
            AdversarialExtrapolation,
            "gradients at the opponents' half-steps",
            JARE + ", eq. 13-14",
        ),
        Entry(
            "implicit-euler", ImplicitEuler, "proximal point: theta+ = theta - eta v(theta+)", NUMERICS + ", section 6"
        ),
        Entry("cgd", Cgd, "competitive gradient descent", CGD),
        Entry("lcgd", Lcgd, "competitive gradient descent to first order", CGD + ", section 3"),
        Entry("acgd", Acgd, "competitive gradient descent with RMSProp's step sizes", ICR + ", Alg. 1"),
        Entry("sga", Sga, "symplectic gradient adjustment: v + lambda A^T v", "Balduzzi et al. 2018, arXiv 1802.05642"),
        Entry("la", La, "lookahead: v - J_off alpha v", SOS),
        Entry("lola", Lola, "learning with opponent-learning awareness", "Foerster et al. 2018, arXiv 1709.04326"),
        Entry("sos", Sos, "stable opponent shaping", SOS + ", Alg. 1"),
        Entry(
            "stackelberg", Stackelberg, "a leader descends its total derivative", "Fiez et al. 2020, arXiv 1906.01217"
        ),
        Entry(
            "follow-the-ridge",
            FollowTheRidge,
            "followers corrected along their ridge",
            "Wang et al. 2020, arXiv 1910.07512",
        ),
        Entry("unrolled", Unrolled, "gradient through k steps of the opponents", "Metz et al. 2017, arXiv 1611.02163"),
        Entry(
            "lookahead-minmax",
            LookaheadMinmax,
            "slow weights around any solver",
            "Chavdarova et al. 2021, arXiv 2006.14567",
        ),
        Entry("hamiltonian", Hamiltonian, "descend half the squared gradient norm", NUMERICS + ", section 4.1"),
        Entry(
            "best-response",
            BestResponse,
            "best moves within reach, by what players know",
            "Schäfer et al. 2019, workshop version of arXiv 1910.05852",
        ),
    ]
