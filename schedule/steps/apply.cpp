// apply OP.S to P      (P = OP(..) in the op's text)
//
//   the steps of S, each on the stages of the call: `y.r` becomes `P.y.r`, `total` becomes `P.total`; a parameter of OP is the tensor
//   that stands for it, a dim its extent. What S requires by `where` the whole schedule then requires; what S allows, its header must
//   allow too. Tuned names of S take their defaults.
//
// Gone before the first step runs (schedule/resolve.cpp); alone it has no schedules to look among.
// Refused: P is no call, or one of another op; OP has no schedule S, or one for another family of targets; S allows what the header
// does not.
#include "schedule/step.h"

namespace heddle::schedule {

Result<Done> apply_step(Step& step) {
  return step.refusal(codes::wrong_operands, "`apply` stands in a schedule, beside the schedules of called ops");
}

}  // namespace heddle::schedule
