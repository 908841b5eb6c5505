#include "schedule/pipelines.h"

#include <algorithm>
#include <set>

#include "ir/region.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

enum class Job { alloc, fetch, work, take };

// Fetches copy what stands around the loop into what is allocated inside, and take copies back; everything else is work.
Job job_of(const StmtRef& s, const std::vector<BufferId>& own) {
  if (as<Alloc>(s)) return Job::alloc;
  auto is_own = [&](BufferId b) { return std::find(own.begin(), own.end(), b) != own.end(); };
  bool fetches = true, takes = true;
  walk(Body{s}, [&](const StmtRef& at) {
    if (as<For>(at)) return true;
    const Leaf* leaf = as<Leaf>(at);
    const Load* from = leaf && leaf->assigns.size() == 1 ? leaf->assigns[0].value.as<Load>() : nullptr;
    if (!from || leaf->assigns[0].kind != AssignKind::define) {
      fetches = takes = false;
      return false;
    }
    fetches = fetches && !is_own(from->buffer) && is_own(leaf->assigns[0].buffer);
    takes = takes && is_own(from->buffer) && !is_own(leaf->assigns[0].buffer);
    return true;
  });
  return fetches ? Job::fetch : takes ? Job::take : Job::work;
}

std::string quoted(const std::string& text) { return "`" + text + "`"; }

bool touches(const Program& p, const StmtRef& s, BufferId buffer) {
  return !as<Alloc>(s) && !accesses(p, Body{s}, buffer).empty();
}

int first_stage(const Program& p, const For& loop, const std::vector<int>& stage_of, BufferId buffer) {
  int first = INT32_MAX;
  for (size_t i = 0; i < loop.body.size(); ++i)
    if (touches(p, loop.body[i], buffer)) first = std::min(first, stage_of[i]);
  return first;
}

}  // namespace

std::optional<std::vector<int>> pipeline_stages(const Program& p, const For& loop, int count) {
  const std::vector<BufferId> own = allocated_in(loop.body);
  std::vector<Job> jobs;
  std::set<Job> kinds;
  for (const StmtRef& s : loop.body) {
    jobs.push_back(job_of(s, own));
    if (jobs.back() != Job::alloc) kinds.insert(jobs.back());
  }
  if (kinds.size() < 2 || count < static_cast<int>(kinds.size())) return std::nullopt;
  std::vector<int> out;
  for (Job j : jobs) out.push_back(j == *kinds.begin() ? 0 : j == *kinds.rbegin() ? count - 1 : count - 2);
  // Memory is held from the first stage that touches it.
  for (size_t i = 0; i < out.size(); ++i)
    if (const Alloc* a = as<Alloc>(loop.body[i])) {
      out[i] = count - 1;
      for (BufferId id : a->buffers) out[i] = std::min(out[i], first_stage(p, loop, out, id));
    }
  return out;
}

Result<Done> can_overlap(const Step& step, const For& loop, const std::vector<int>& stage_of) {
  const Program& p = step.program;
  const std::vector<BufferId> own = allocated_in(loop.body);
  const std::string name = quoted(loop_name(p, loop.loop));
  std::vector<std::vector<Access>> touched;
  for (const StmtRef& s : loop.body) touched.push_back(accesses(p, Body{s}));
  for (size_t i = 0; i < loop.body.size(); ++i)
    for (size_t j = 0; j < loop.body.size(); ++j) {
      if (stage_of[i] == stage_of[j]) continue;
      for (const Access& a : touched[i])
        for (const Access& b : touched[j]) {
          if (a.buffer != b.buffer || !(a.writes || a.initialises)) continue;
          const bool inside = std::find(own.begin(), own.end(), a.buffer) != own.end();
          // Inside, each iteration has a copy of its own, and only the order within it counts.
          if (inside && (i < j ? stage_of[i] < stage_of[j] : stage_of[j] < stage_of[i])) continue;
          Diagnostic d = step.refusal(
              codes::order_matters, "stages " + std::to_string(stage_of[i]) + " and " + std::to_string(stage_of[j]) +
                                        " of the pipeline " + name + " both touch " + quoted(buffer_name(p, a.buffer)) +
                                        ", and one writes it");
          if (a.by && a.by->place.known()) d.labels.push_back({a.by->place, "written here"});
          if (b.by && b.by->place.known()) d.labels.push_back({b.by->place, b.writes ? "written here" : "read here"});
          d.help = inside ? "what is read comes after what is written, and in no earlier stage"
                          : "place what passes between the stages inside the loop: `compute_at`, or `cache .. at`";
          return d;
        }
    }
  return Done{};
}

int copies_needed(const Program& p, const For& loop, const std::vector<int>& stage_of, BufferId buffer) {
  int first = 0, last = 0;
  for (size_t i = 0; i < loop.body.size(); ++i) {
    const Alloc* a = as<Alloc>(loop.body[i]);
    const bool held = a && std::find(a->buffers.begin(), a->buffers.end(), buffer) != a->buffers.end();
    if (held) first = last = stage_of[i];
    if (touches(p, loop.body[i], buffer)) last = std::max(last, stage_of[i]);
  }
  return last - first + 1;
}

Result<Done> pipelines_hold(const Step& step) {
  const Program& p = step.program;
  std::optional<Diagnostic> broken;
  walk(p.body, [&](const StmtRef& s) {
    const For* l = as<For>(s);
    if (broken || !l || l->stage_of.empty()) return !broken;
    const std::string name = quoted(loop_name(p, l->loop));
    auto refuse = [&](Diagnostic d) {
      if (s->place.known()) d.labels.push_back({s->place, "made so here"});
      d.help = "move this line above `pipeline`";
      broken = std::move(d);
    };
    bool staged = l->stage_of.size() == l->body.size();
    for (size_t i = 0; staged && i < l->body.size(); ++i)
      if (const Alloc* a = as<Alloc>(l->body[i]))
        for (BufferId id : a->buffers) staged = staged && l->stage_of[i] <= first_stage(p, *l, l->stage_of, id);
    if (!staged) {
      refuse(step.refusal(codes::wrong_loop_kind, name + " is already pipelined: what stands in it has its stage"));
      return false;
    }
    Result<Done> still = can_overlap(step, *l, l->stage_of);
    if (!still) refuse(still.errors().front());
    for (BufferId id : allocated_in(l->body))
      if (!broken && path_to_alloc(p, id).size() >= 2 && *(path_to_alloc(p, id).end() - 2) == s &&
          copies_needed(p, *l, l->stage_of, id) > p.buffer(id).copies)
        refuse(step.refusal(codes::order_matters, quoted(buffer_name(p, id)) +
                                                      " would be needed by more iterations of " + name +
                                                      " at a time than it has copies"));
    return !broken;
  });
  if (broken) return *broken;
  return Done{};
}

}  // namespace heddle::schedule
