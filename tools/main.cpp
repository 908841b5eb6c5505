// The `heddle` command.
#include <CLI/CLI.hpp>
#include <iostream>

#include "support/diagnostic.h"
#include "tools/command.h"

namespace {

using heddle::tools::Options;

void common(CLI::App* app, Options& o) {
  app->add_option("file", o.file, "a .hd text, or - for standard input")->required();
  app->add_option("--op", o.op, "the op; may be left out when the text has one");
  app->add_option("--schedule", o.schedule, "its schedule; without, the first that fits")
      ->each([&](const std::string&) { o.has_schedule = true; });
  app->add_option("--target", o.target,
                  "auto, cpu, cpu/avx512, cpu/avx2, cpu/x86-64-v2, neuron/trn1, neuron/trn2, neuron/trn3");
  app->add_option("--threads", o.threads, "threads of parallel loops");
  app->add_option("--fix", o.fix, "DIM=N: a dim becomes a constant")->delimiter(',');
  app->add_option("--tune", o.tune, "NAME=N: a value for a tuned name")->delimiter(',');
  app->add_option("--const", o.consts, "NAME=N: a value for a const")->delimiter(',');
  app->add_option("--types", o.types, "a type for each array input: f32, or f32[64,?]");
}

void arrays(CLI::App* app, Options& o, bool outputs = true) {
  app->add_option("--in", o.in, "arrays as .npy files, in order (FILE.npy:bf16 for bits)");
  if (outputs)
    app->add_option("--out", o.out, "files for the outputs in order, then for the arrays that the op updates");
  app->add_option("--scalar", o.scalars, "NAME=VALUE: a run-time scalar");
}

int no_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(one->get_name());
  const std::string near = heddle::nearest(word, known);
  std::cerr << "heddle: there is no command `" << word << "`"
            << (near.empty() ? "; `heddle --help` lists them" : "; did you mean `" + near + "`?") << "\n";
  return heddle::tools::exit_usage;
}

int dispatch(int argc, char** argv) {
  CLI::App app{"Heddle: tensor algorithms written once, scheduled apart, compiled at run time"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(heddle::version()));
  Options o;
  std::string word;

  auto* check = app.add_subcommand("check", "diagnostics of a text; exit code 1 when it is refused");
  check->add_option("file", o.file, "a .hd text, or -")->required();
  check->add_flag("--json", o.json, "as JSON");
  auto* run = app.add_subcommand("run", "compiles an op and runs it on arrays");
  common(run, o), arrays(run, o);
  auto* interpret = app.add_subcommand("interpret", "as run, by the reference interpreter");
  common(interpret, o), arrays(interpret, o);
  auto* lower = app.add_subcommand("lower", "prints the program after the schedule");
  common(lower, o);
  lower->add_option("--after", o.after, "after so many steps");
  lower->add_flag("--why", o.why, "with what each step relied on");
  auto* emit = app.add_subcommand("emit", "prints what an op becomes");
  common(emit, o);
  emit->add_option("--as", o.as, "program, memory, llvm, asm, object or nki")
      ->check(CLI::IsMember({"program", "llvm", "asm", "memory", "object", "nki"}));
  emit->add_option("-o", o.output, "a file instead of standard output; of an object, with a C header beside it");
  emit->add_option("--name", o.function, "of the C function in an object; by default the op's");
  emit->add_option("--profile", o.profile, "of nki: full or basic");
  emit->add_option("--instructions", o.instructions, "of nki: the budget of unrolled instructions, 50000");
  auto* fmt = app.add_subcommand("fmt", "formats texts in place; - from standard input to standard output");
  fmt->add_option("files", o.files, ".hd texts, or -")->required();
  fmt->add_flag("--check", o.only_check, "changes nothing: names the texts that would change, exit code 1");
  auto* bench = app.add_subcommand("bench", "times the schedules of an op in turns");
  common(bench, o), arrays(bench, o, false);
  bench->add_option("--seconds", o.seconds, "for all schedules together (1)");
  bench->add_flag("--json", o.json, "as JSON");
  auto* simulate = app.add_subcommand(
      "simulate",
      "runs an op as NKI text, or NKI text (FILE.py, -), on the simulator of NeuronCore; prints the modelled time");
  common(simulate, o);
  simulate->add_option("--profile", o.profile, "of the op's text: full or basic");
  simulate->add_option("--instructions", o.instructions, "the budget of unrolled instructions, 50000");
  simulate->add_option("--seed", o.seed, "of the random legal order (1)");
  simulate->add_option("--timeline", o.timeline, "a Chrome trace; FILE.svg is a picture");
  simulate->add_flag("--json", o.json, "the report as JSON");
  arrays(simulate, o);
  auto* tune = app.add_subcommand(
      "tune", "searches the tune variables of a schedule; prints the best as a schedule (--help for more)");
  tune->prefix_command();
  tune->set_help_flag();
  auto* list = app.add_subcommand("list", "lists what there is");
  list->add_option("what", word, "ops, schedules, steps, targets or codes")
      ->required()
      ->check(CLI::IsMember({"ops", "schedules", "steps", "targets", "codes"}));
  list->add_option("file", o.file, "a .hd text, for ops and schedules; without, the standard library");
  auto* explain = app.add_subcommand("explain", "what a diagnostic code means");
  explain->add_option("code", word, "HD0123")->required();
  auto* doctor = app.add_subcommand("doctor", "what this machine can do");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (app.get_subcommands().empty() && argc > 1 && *argv[1] != '-') return no_command(app, argv[1]);
    return app.exit(e) == 0 ? heddle::tools::exit_done : heddle::tools::exit_usage;
  }
  if (*check) return heddle::tools::check(o);
  if (*run) return heddle::tools::run(o, false);
  if (*interpret) return heddle::tools::run(o, true);
  if (*lower) return heddle::tools::lower(o);
  if (*emit) return heddle::tools::emit(o);
  if (*fmt) return heddle::tools::fmt(o);
  if (*bench) return heddle::tools::bench(o);
  if (*simulate) return heddle::tools::simulate(o);
  if (*tune) return heddle::tools::python_command(argc, argv);
  if (*list) return heddle::tools::list(word, o);
  if (*explain) return heddle::tools::explain(word);
  if (*doctor) return heddle::tools::doctor();
  return heddle::tools::exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return dispatch(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "heddle: a bug of Heddle: " << e.what() << "\n";
    return heddle::tools::exit_bug;
  }
}
