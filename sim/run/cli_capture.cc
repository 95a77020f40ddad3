// collapsar capture: runs a command under the capture tool and writes its trace.
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/core/config_node.h"
#include "sim/run/capture_session.h"
#include "sim/run/capture_tool.h"
#include "sim/run/cli_options.h"
#include "sim/run/cli_progress.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

constexpr const char* kAbout =
    "Runs COMMAND and writes its memory references and what it does with its address space as a trace.\n"
    "It runs 5 to 20 times slower, on Valgrind; the tool for that is compiled on first use, and needs\n"
    "the packages valgrind and gcc. With --max, the command is ended (SIGTERM) when the trace is long enough.";

constexpr const char* kExamples =
    "  collapsar capture -- python3 -c 'd = {i: str(i) for i in range(10**6)}'\n"
    "  collapsar capture --out build.ctr --children -- g++ -O2 -c app.cc\n"
    "  collapsar capture --skip 100M --max 50M -- ./server\n";

CaptureFetches fetches_of(const std::string& name) {
  if (name == "none") return CaptureFetches::none;
  if (name == "page") return CaptureFetches::page;
  if (name == "block") return CaptureFetches::block;
  if (name == "insn") return CaptureFetches::insn;
  throw UsageError(fmt::format("capture: --ifetch {}: none, page, block or insn is right", name));
}

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line.empty() ? "unknown" : line;
}

std::string kernel_note() {
  utsname system{};
  ::uname(&system);
  const std::string thp = "/sys/kernel/mm/transparent_hugepage/";
  return fmt::format("captured on Linux {}, 4 KiB pages; transparent_hugepage: enabled {}, defrag {}", system.release,
                     first_line((thp + "enabled").c_str()), first_line((thp + "defrag").c_str()));
}

std::string options_note(const CommandOptions& options, const std::string& fetches) {
  std::string text = "captured with --ifetch " + fetches;
  for (const char* name : {"skip", "max"})
    if (options.has(name)) text += fmt::format(" --{} {}", name, options.get(name, ""));
  for (const char* name : {"children", "thp-align"})
    if (options.has(name)) text += fmt::format(" --{}", name);
  return text;
}

TraceInfo described(const Arguments& command, const CommandOptions& options, const std::string& fetches) {
  TraceInfo info;
  info.program = std::filesystem::path(command.front()).filename();
  info.command = fmt::format("{}", fmt::join(command, " "));
  info.notes = {"time stamps are those of the traced run, slowed down by the tracer; threads took turns",
                options_note(options, fetches), kernel_note()};
  return info;
}

bool is_program(const std::filesystem::path& file) {
  return std::filesystem::is_regular_file(file) && ::access(file.c_str(), X_OK) == 0;
}

// As a shell looks for it.
void require_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (is_program(name)) return;
    throw UsageError(fmt::format("capture: {}: no program; expected a file that may be executed", name));
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (is_program(std::filesystem::path(folder.empty() ? "." : folder) / name)) return;
  throw UsageError(fmt::format("capture: {}: no such program in any folder of PATH", name));
}

std::string plural(std::uint64_t n, const char* one, const char* more) {
  return fmt::format("{} {}", with_separators(n), n == 1 ? one : more);
}

void report(const std::string& file, const CaptureSummary& s, int status) {
  if (WIFSIGNALED(status)) fmt::print(stderr, "the command was ended by signal {}\n", WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0) fmt::print(stderr, "the command left with status {}\n", WEXITSTATUS(status));
  const std::uint64_t all = s.references + s.skipped;
  fmt::print(stderr, "{}: {} references{}, {}\n", file, with_separators(s.references),
             s.skipped > 0 ? fmt::format(" after {} skipped", with_separators(s.skipped)) : "",
             readable_bytes(std::filesystem::file_size(file)));
  fmt::print(stderr, "self-check: {} of {} references outside a VMA ({:.4f} %); {}, {}, {}\n",
             with_separators(s.outside), with_separators(all), all > 0 ? 100.0 * double(s.outside) / double(all) : 0.0,
             plural(s.pages, "distinct page", "distinct pages"), plural(s.threads, "thread", "threads"),
             plural(s.processes, "process", "processes"));
}

}  // namespace

// The command owns the terminal, and may be short, or an editor.
void show_progress(TerminalLine& line, const CaptureRecorder& recorder, const CaptureOptions& window) {
  constexpr double kPatience = 10;  // seconds
  if (!line.is_due() || line.seconds() < kPatience) return;
  termios terminal{};
  if (::tcgetattr(STDERR_FILENO, &terminal) != 0 || !(terminal.c_lflag & ICANON)) return;
  const std::uint64_t total = window.limit > 0 ? window.skip + window.limit : 0;
  line.show(references_done("captured", recorder.seen(), total, line.seconds()));
}

CommandOptions options_of_capture() {
  CommandOptions options("capture", "capture [OPTION]... -- COMMAND [ARGUMENT]...", kAbout, kExamples);
  options.value("out", "FILE", "the trace, named .ctr; default: the command's name and .ctr");
  options.value("skip", "N", "leaves out the first N references; what they left in memory is recorded");
  options.value("max", "N", "at most N references (default: 0, all)");
  options.value("ifetch", "none|page|block|insn",
                "instruction fetches: none, one each time the code's page changes (default), per block of code, all");
  options.flag("children", "forked processes too, and what they execute; else only COMMAND's own");
  options.flag("thp-align", "large anonymous mappings begin at 2 MiB, as on Linux from 6.7 on");
  options.flag("quiet",
               "no progress line; there is one from the tenth second on, unless the command reads single keys");
  return options;
}

// What stands behind the first `--` is the command's.
int run_capture(const Arguments& arguments) {
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  CommandOptions options = options_of_capture();
  if (!options.parse({arguments.begin(), dashes}, 0, 0)) return kDone;
  CaptureCommand command;
  if (dashes != arguments.end()) command.words.assign(dashes + 1, arguments.end());
  if (command.words.empty()) throw UsageError("capture: no command; write -- and the command behind it");
  require_program(command.words.front());
  const std::string fetches = options.get("ifetch", "page");
  const TraceInfo info = described(command.words, options, fetches);
  const std::string file = options.get("out", info.program + ".ctr");
  if (!file.ends_with(".ctr")) throw UsageError(fmt::format("capture: --out {}: its name ends in .ctr", file));
  const CaptureOptions window{fetches_of(fetches), options.count("skip", 0), options.count("max", 0),
                              options.has("children")};
  command.follows_children = window.children, command.aligns_thp = options.has("thp-align");
  command.every_fetch = window.fetches == CaptureFetches::insn;
  command.tool_folder = prepare_capture_tool(installed_capture_tool());
  CaptureRecorder recorder(file, info, window);
  TerminalLine line(!options.has("quiet"));
  if (line.is_on()) command.on_progress = [&] { show_progress(line, recorder, window); };
  const int status = run_captured(command, recorder);
  line.clear();
  const CaptureSummary summary = recorder.finish();
  report(file, summary, status);
  return summary.outside == 0 ? kDone : kSimulationFailed;
}

}  // namespace collapsar
