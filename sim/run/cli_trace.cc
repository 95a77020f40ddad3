// collapsar trace: what a trace holds, and new traces from old ones or from patterns.
#include <cstdio>

#include "sim/run/cli_options.h"
#include "sim/run/experiment.h"
#include "sim/run/trace_summary.h"

namespace collapsar {

namespace {

int info(const Arguments& arguments) {
  CommandOptions options(
      "trace info", "trace info TRACE...",
      "Reads a trace to its end and tells what is in it. Several files are the processes of one recording.",
      "  collapsar trace info trace.ctr\n");
  if (!options.parse(arguments, 1, 1000)) return kDone;
  const auto source = open_trace(options.arguments());
  fmt::print("{}", summary_text(source->info(), summarise(*source)));
  return kDone;
}

int head(const Arguments& arguments) {
  CommandOptions options("trace head", "trace head TRACE... [-n N]",
                         "Prints the first references and events, in order.",
                         "  collapsar trace head trace.ctr -n 50\n");
  options.value("lines,n", "N", "how many (default 20)");
  if (!options.parse(arguments, 1, 1000)) return kDone;
  std::uint64_t left = options.count("lines", 20);
  const auto source = open_trace(options.arguments());
  while (left > 0) {
    const std::optional<TraceItem> item = source->next();
    if (!item) break;
    fmt::print("{}", item_text(*item, left));
  }
  return kDone;
}

void require_ctr(const char* command, const std::string& file) {
  if (!file.ends_with(".ctr"))
    throw UsageError(
        fmt::format("{}: {}: the last argument is the file to write; its name ends in .ctr", command, file));
}

std::uint64_t copy(TraceSource& source, const std::string& file) {
  const auto sink = create_trace(file, source.info());
  std::uint64_t references = 0;
  while (const std::optional<TraceItem> item = source.next()) {
    if (const auto* run = std::get_if<TraceRun>(&*item)) references += run->records.size();
    sink->put(*item);
  }
  sink->finish();
  return references;
}

int convert(const Arguments& arguments) {
  CommandOptions options("trace convert", "trace convert IN... OUT.ctr [--skip N] [--limit N]",
                         "Writes a trace of any format that can be read as .ctr; several processes' files become one.",
                         "  collapsar trace convert app.lackey app.ctr\n"
                         "  collapsar trace convert redis.100.mtp.zst redis.101.mtp.zst redis.ctr --limit 10M\n");
  options.value("skip", "N", "leaves out the first N references; their events are kept");
  options.value("limit", "N", "stops after N references");
  if (!options.parse(arguments, 2, 1000)) return kDone;
  Arguments files = options.arguments();
  const std::string out = files.back();
  files.pop_back();
  require_ctr("trace convert", out);
  const std::uint64_t skip = options.count("skip", 0), limit = options.count("limit", 0);
  auto source = open_trace(files);
  if (skip > 0 || limit > 0) source = make_window(std::move(source), skip, limit);
  const std::uint64_t references = copy(*source, out);
  fmt::print("{}: {} references\n", out, references);
  return kDone;
}

int generate(const Arguments& arguments) {
  CommandOptions options("trace generate", "trace generate CONFIG.yaml OUT.ctr [--set KEY=VALUE]...",
                         "Writes the trace that the config's trace.synthetic describes.",
                         "  collapsar trace generate random.yaml random.ctr --set seed=2\n");
  options.values("set", "KEY=VALUE", "changes the config first");
  if (!options.parse(arguments, 2, 2)) return kDone;
  const std::string &config = options.arguments()[0], &out = options.arguments()[1];
  require_ctr("trace generate", out);
  RunOptions run;
  run.search_dirs = installed_configs();
  const ConfigNode node = load_experiment(config, options.all("set"), run.search_dirs);
  const ExperimentConfig experiment = resolve_experiment(node, {}, run.search_dirs).config;
  if (experiment.trace.synthetic.empty())
    throw ConfigError(fmt::format("{}: trace.synthetic: missing; a list of patterns is what is generated", config));
  const std::uint64_t references = copy(*open_trace_of(experiment, run), out);
  fmt::print("{}: {} references\n", out, references);
  return kDone;
}

constexpr Command kCommands[] = {
    {"info", "what a trace holds", info},
    {"head", "its first references and events", head},
    {"convert", "writes it as .ctr; merges the files of several processes", convert},
    {"generate", "writes the trace that a config's patterns describe", generate},
};

}  // namespace

int run_trace(const Arguments& arguments) {
  return run_command(kCommands, "collapsar trace", "collapsar trace: traces of memory references.", arguments);
}

}  // namespace collapsar
