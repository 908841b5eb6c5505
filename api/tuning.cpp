// What a search over `tune` variables needs of a schedule: its variables, and its text with their values put in.
#include <algorithm>

#include "api/codes.h"
#include "api/impl.h"

namespace heddle {
namespace {

using ir::ScheduleLine;
using ir::ScheduleText;

const ScheduleText* find(const api::OpImpl& op, std::string_view name) {
  for (const ScheduleText* s : op.module->module().schedules_of(op.name))
    if (s->name == name) return s;
  return nullptr;
}

struct Edit {
  Place place;
  std::string text;
};

void tune_lines(const std::vector<ScheduleLine>& lines, const std::map<std::string, int64_t>& choices,
                std::vector<Edit>& edits) {
  for (const ScheduleLine& line : lines) {
    auto at = choices.find(line.name);
    if (line.kind == ScheduleLine::Kind::tune && at != choices.end())
      edits.push_back({line.place, "let " + line.name + " = " + std::to_string(at->second)});
    tune_lines(line.then, choices, edits);
    tune_lines(line.otherwise, choices, edits);
  }
}

// The text of a line with the edits that lie inside it.
std::string edited(const Place& whole, const std::vector<Edit>& edits) {
  std::string out;
  size_t at = whole.begin;
  std::string_view text = whole.text();
  for (const Edit& e : edits) {
    if (e.place.source != whole.source || e.place.begin < at || e.place.end > whole.end) continue;
    out += text.substr(at - whole.begin, e.place.begin - at);
    out += e.text;
    at = e.place.end;
  }
  return out + std::string(text.substr(at - whole.begin));
}

}  // namespace

std::string Op::schedule_text(std::string_view schedule, std::string_view name,
                              const std::map<std::string, int64_t>& choices) const {
  const ScheduleText* s = find(*impl_, schedule);
  if (!s) return "";
  std::string out = "schedule " + s->op + "." + std::string(name) + " on " + s->target;
  for (size_t i = 0; i < s->allow.size(); ++i) out += (i ? ", " : " allow ") + s->allow[i].first;
  if (s->has_where) out += " where " + std::string(s->where.place.text());
  std::vector<Edit> edits;
  tune_lines(s->lines, choices, edits);
  out += " {\n";
  for (const ScheduleLine& line : s->lines) out += "  " + edited(line.place, edits) + "\n";
  return out + "}\n";
}

Result<std::vector<TuneVariable>> Op::tune_variables(const CompileOptions& options) const {
  const std::string schedule = options.schedule.value_or("");
  const ScheduleText* s = find(*impl_, schedule);
  if (!s) return Diagnostic(api::codes::unknown_schedule, {}, "`" + name() + "` has no schedule `" + schedule + "`");
  Result<ir::Target> machine = api::resolve_target(options.target);
  if (!machine) return machine.errors();
  Result<ir::Program> canonical = api::canonical_program(*impl_, options);
  if (!canonical) return canonical.errors();
  Result<std::vector<heddle::schedule::TunedName>> names = api::tuned_names(*impl_, *canonical, *s, *machine);
  if (!names) return names.errors();
  std::vector<TuneVariable> out;
  for (heddle::schedule::TunedName& t : *names) out.push_back({std::move(t.name), t.value, std::move(t.choices)});
  return out;
}

}  // namespace heddle
