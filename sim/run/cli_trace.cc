// collapsar trace: what a trace holds, and new traces from old ones or from patterns.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "sim/run/cli_options.h"
#include "sim/run/cli_progress.h"
#include "sim/run/experiment.h"
#include "sim/run/trace_summary.h"

namespace collapsar {

namespace {

CommandOptions options_of_info() {
  CommandOptions options(
      "trace info", "trace info TRACE...",
      "Reads a trace to its end and tells what is in it. Several files are the processes of one recording.",
      "  collapsar trace info trace.ctr\n");
  options.flag("quiet", "no progress line");
  return options;
}

int info(const Arguments& arguments) {
  CommandOptions options = options_of_info();
  if (!options.parse(arguments, 1, 1000)) return kDone;
  auto source = open_trace(options.arguments());
  TraceProgress progress("read", !options.has("quiet"));
  source = progress.watch(std::move(source), source->info().references);
  const TraceSummary summary = summarise(*source);
  progress.clear();
  fmt::print("{}", summary_text(source->info(), summary));
  return kDone;
}

CommandOptions options_of_head() {
  CommandOptions options("trace head", "trace head TRACE... [-n N]",
                         "Prints the first references and events, in order.",
                         "  collapsar trace head trace.ctr -n 50\n");
  options.value("lines,n", "N", "how many (default 20)");
  return options;
}

int head(const Arguments& arguments) {
  CommandOptions options = options_of_head();
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

void require_trace_name(const char* command, const std::string& file) {
  if (!file.ends_with(".ctr") && !file.ends_with(".txt"))
    throw UsageError(
        fmt::format("{}: {}: the last argument is the file to write; its name ends in .ctr or .txt", command, file));
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

// IN... OUT, and what of it.
struct CopyArguments {
  Arguments in;
  std::string out;
  std::uint64_t skip = 0, limit = 0;

  // The last reference that is read; 0: not known.
  std::uint64_t end_in(const TraceInfo& info) const {
    const std::uint64_t end = limit > 0 ? skip + limit : info.references;
    return info.references > 0 ? std::min(end, info.references) : end;
  }
};

CopyArguments copy_arguments(const CommandOptions& options, const char* command) {
  CopyArguments a;
  a.in = options.arguments();
  a.out = a.in.back();
  a.in.pop_back();
  require_trace_name(command, a.out);
  for (const std::string& in : a.in) {
    std::error_code ignored;  // no such file: the reader says so
    if (std::filesystem::equivalent(in, a.out, ignored))
      throw UsageError(fmt::format("{}: {}: would be written over itself; name another file to write", command, a.out));
  }
  a.skip = options.count("skip", 0), a.limit = options.count("limit", 0);
  return a;
}

CommandOptions options_of_convert() {
  CommandOptions options(
      "trace convert", "trace convert IN... OUT [--skip N] [--limit N]",
      "Writes a trace of any format that can be read as .ctr, or as text if OUT ends in .txt; several\n"
      "processes' files become one.",
      "  collapsar trace convert app.lackey app.ctr\n"
      "  collapsar trace convert app.ctr app.txt --limit 1000\n"
      "  collapsar trace convert redis.100.mtp.zst redis.101.mtp.zst redis.ctr --limit 10M\n");
  options.value("skip", "N", "leaves out the first N references; their events are kept");
  options.value("limit", "N", "stops after N references (default: 0, at the end)");
  options.flag("quiet", "no progress line");
  return options;
}

int convert(const Arguments& arguments) {
  CommandOptions options = options_of_convert();
  if (!options.parse(arguments, 2, 1000)) return kDone;
  const CopyArguments a = copy_arguments(options, "trace convert");
  auto source = open_trace(a.in);
  TraceProgress progress("read", !options.has("quiet"));
  source = progress.watch(std::move(source), a.end_in(source->info()));
  if (a.skip > 0 || a.limit > 0) source = make_window(std::move(source), a.skip, a.limit);
  const std::uint64_t references = copy(*source, a.out);
  progress.clear();
  fmt::print("{}: {} references\n", a.out, references);
  return kDone;
}

CommandOptions options_of_cut() {
  CommandOptions options(
      "trace cut", "trace cut IN... OUT --skip N [--limit N]",
      "Writes a piece of a trace, with what the program had in memory when the piece begins: the pages\n"
      "that the skipped references touched and that were not given back since.",
      "  collapsar trace cut app.ctr piece.ctr --skip 100M --limit 30M\n");
  options.value("skip", "N", "the piece begins behind the first N references");
  options.value("limit", "N", "and has at most N (default: 0, all that follow)");
  options.flag("quiet", "no progress line");
  return options;
}

int cut(const Arguments& arguments) {
  CommandOptions options = options_of_cut();
  if (!options.parse(arguments, 2, 1000)) return kDone;
  if (!options.has("skip") && !options.has("limit")) throw UsageError("trace cut: --skip N or --limit N is missing");
  const CopyArguments a = copy_arguments(options, "trace cut");
  auto source = open_trace(a.in);
  TraceProgress progress("read", !options.has("quiet"));
  const std::uint64_t end = a.end_in(source->info());
  source = progress.watch(std::move(source), end > 0 ? end + std::min(a.skip, end) : 0);  // what is skipped, twice
  const auto piece = make_cut(std::move(source), a.skip, a.limit);
  if (end > 0 && a.skip >= end)
    throw TraceError(fmt::format("{}: {} references; none is left after the first {}", a.in.front(), end, a.skip));
  const std::uint64_t references = copy(*piece, a.out);
  progress.clear();
  std::uint64_t pages = 0;
  for (const auto& [pid, ranges] : *piece->info().resident)
    for (const VirtRange& range : ranges) pages += range.pages();
  fmt::print("{}: {} references, {} pages in memory before\n", a.out, references, pages);
  return kDone;
}

CommandOptions options_of_generate() {
  CommandOptions options("trace generate", "trace generate CONFIG.yaml OUT.ctr [--set KEY=VALUE]...",
                         "Writes the trace that the config's trace.synthetic describes.",
                         "  collapsar trace generate random.yaml random.ctr --set seed=2\n");
  options.values("set", "KEY=VALUE", "changes the config first");
  options.flag("quiet", "no progress line");
  return options;
}

int generate(const Arguments& arguments) {
  CommandOptions options = options_of_generate();
  if (!options.parse(arguments, 2, 2)) return kDone;
  const std::string &config = options.arguments()[0], &out = options.arguments()[1];
  require_trace_name("trace generate", out);
  RunOptions run;
  run.search_dirs = installed_configs();
  const ConfigNode node = load_experiment(config, options.all("set"), run.search_dirs);
  const ExperimentConfig experiment = resolve_experiment(node, {}, run.search_dirs).config;
  if (experiment.trace.synthetic.empty())
    throw ConfigError(fmt::format("{}: trace.synthetic: missing; a list of patterns is what is generated", config));
  auto source = open_trace_of(experiment, run);
  TraceProgress progress("wrote", !options.has("quiet"));
  source = progress.watch(std::move(source), source->info().references);
  const std::uint64_t references = copy(*source, out);
  progress.clear();
  fmt::print("{}: {} references\n", out, references);
  return kDone;
}

constexpr Command kTraceCommands[] = {
    {"info", "tells what a trace holds", info, options_of_info},
    {"head", "prints the first references and events of a trace", head, options_of_head},
    {"cut", "writes a piece of a trace, with what was in memory before it", cut, options_of_cut},
    {"convert", "writes a trace as .ctr or as text; merges the files of several processes", convert,
     options_of_convert},
    {"generate", "writes the trace that a config's patterns describe", generate, options_of_generate},
};

}  // namespace

std::span<const Command> trace_commands() { return kTraceCommands; }

int run_trace(const Arguments& arguments) {
  return run_command(
      {kTraceCommands, "collapsar trace", "Tells what a trace of memory references holds, and writes new ones.",
       "\nExamples:\n"
       "  collapsar trace info app.ctr\n"
       "  collapsar trace cut app.ctr piece.ctr --skip 100M --limit 30M\n"},
      arguments);
}

}  // namespace collapsar
