// The program from outside: what it prints and its exit status.
#include <algorithm>
#include <array>

#include "tests/unit/run/cli_program.h"

namespace collapsar {

namespace {

namespace fs = std::filesystem;

TEST_F(CliTest, ValidateLeavesWithOneIfAMarkIsMissed) {
  const auto file = [&](const char* name, const char* mark) {
    return write(name, std::string(kTiny) +
                           "validation:\n  quantities: [{name: it, ours: refs, reference: 1000, source: x, mark: " +
                           mark + "}]\n");
  };
  const Outcome met = run_program("validate " + file("met.yaml", "5 %"));
  EXPECT_EQ(met.status, 0) << met.text;
  EXPECT_TRUE(met.text.ends_with("1 of 1 marks met; 0 figures shown without a mark\n")) << met.text;
  const Outcome missed = run_program(fmt::format("validate {} {}", path("met.yaml"), file("missed.yaml", "exact")));
  EXPECT_EQ(missed.status, 1);
  EXPECT_TRUE(missed.text.ends_with("1 of 2 marks met; 0 figures shown without a mark\nmissed: missed: it\n"))
      << missed.text;
  EXPECT_EQ(run_program("run --quiet " + path("met.yaml")).status, 0) << "the same file is an experiment";
  EXPECT_EQ(run_program("validate " + write("none.yaml", kTiny)).status, 2);
  EXPECT_EQ(run_program("validate random-read").text.substr(0, 50),
            "collapsar: validate: unknown name random-read (kno");
}

TEST_F(CliTest, SweepWritesATableAndCsvAndSaysWhatWasKept) {
  const std::string command =
      fmt::format("sweep {} --vary seed=1,2 --variant never --quiet --out {}", write("tiny.yaml", kTiny), path("out"));
  const Outcome first = run_program(command), second = run_program(command);
  EXPECT_EQ(first.status, 0) << first.text;
  EXPECT_TRUE(first.text.starts_with("2 points over seed; 0 of them finished earlier;")) << first.text;
  EXPECT_TRUE(second.text.starts_with("2 points over seed; 2 of them finished earlier;")) << second.text;
  EXPECT_EQ(first.text.substr(first.text.find('\n')), second.text.substr(second.text.find('\n')));
  std::ifstream csv(path("out") + "/sweep.csv");
  std::string header, row;
  std::getline(csv, header), std::getline(csv, row);
  EXPECT_TRUE(header.starts_with("seed,point,error,variant,refs,")) << header;
  EXPECT_TRUE(row.starts_with("1,")) << row;
}

TEST_F(CliTest, SweepAndTuneRefuseWhatTheyCannotUse) {
  const std::string tiny = write("tiny.yaml", kTiny);
  EXPECT_EQ(run_program("sweep " + tiny).text, "collapsar: sweep: nothing varies; write --vary KEY=V1,V2,...\n");
  const Outcome wrong = run_program(fmt::format("sweep {} --vary cpu.count=0 --out {}", tiny, path("out")));
  EXPECT_EQ(wrong.status, 2);
  EXPECT_TRUE(wrong.text.starts_with("collapsar: --vary cpu.count=0: cpu")) << wrong.text;
  EXPECT_FALSE(fs::exists(path("out"))) << "nothing is made for a sweep that cannot run";
  EXPECT_EQ(run_program(fmt::format("tune {} --max-rss much", tiny)).status, 2);
  const Outcome off = run_program(fmt::format("tune {} --variant never --out {}", tiny, path("out")));
  EXPECT_EQ(off.text, "collapsar: --variant never: its kernel.thp.enabled is never: khugepaged does not run\n");
}

TEST_F(CliTest, TunePrintsTheLinesToWrite) {
  const std::string config =
      write("tune.yaml",
            "trace.synthetic: [{pattern: touch, footprint: 8MiB, write: true}, {pattern: idle, time: 1s},\n"
            "  {pattern: random, footprint: 8MiB, references: 20k}]\n"
            "mmu: {l1d: [{pages: [4K, 2M], sets: 4, ways: 4}], l2: [{pages: [4K, 2M], sets: 16, ways: 4}]}\n"
            "memory.size: 64MiB\ncaches: none\ndram.ideal: 80ns\nswap.device: none\n");
  const std::string command = fmt::format("tune {} --quiet --out {}", config, path("out"));
  const Outcome first = run_program(command);
  EXPECT_EQ(first.status, 0) << first.text;
  for (const char* file :
       {"enabled", "khugepaged/pages_to_scan", "khugepaged/scan_sleep_millisecs", "khugepaged/max_ptes_none"})
    EXPECT_NE(first.text.find(fmt::format("> /sys/kernel/mm/transparent_hugepage/{}\n", file)), std::string::npos)
        << first.text;
  EXPECT_EQ(run_program(command).text, first.text) << "from what was kept";
}

TEST_F(CliTest, TellsItsVersionAndItsCommands) {
  EXPECT_TRUE(run_program("--version").text.starts_with("collapsar "));
  const Outcome help = run_program("--help");
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.text.find("  run         replays a trace"), std::string::npos) << help.text;
  for (const char* command : {"run", "capture", "sweep", "tune", "scenario", "validate", "completion", "trace info",
                              "trace head", "trace cut", "trace convert", "trace generate", "config check",
                              "config show", "config keys", "config presets", "trace", "config"}) {
    const Outcome one = run_program(fmt::format("{} --help", command));
    EXPECT_EQ(one.status, 0) << one.text;
    EXPECT_TRUE(one.text.starts_with(fmt::format("Usage: collapsar {}", command))) << one.text;
    EXPECT_NE(one.text.find("\nExamples:\n  collapsar "), std::string::npos) << one.text;
  }
}

TEST_F(CliTest, WrongInputIsOneLineAndStatusTwo) {
  const std::string bad = write("bad.yaml", "cpu: {cuont: 2}\n");
  const std::array<std::pair<std::string, std::string>, 11> cases{{
      {"",
       "collapsar: no command; choose one of run, capture, sweep, tune, scenario, trace, validate, config, "
       "completion, or write collapsar --help\n"},
      {"rum x",
       "collapsar: unknown command rum (known here: run, capture, sweep, tune, scenario, trace, validate, config, "
       "completion); did you mean run?\n"},
      {"run", "collapsar: run: too few arguments; usage: collapsar run CONFIG.yaml | TRACE... [OPTION]...\n"},
      {"run --vairant a x.ctr",
       "collapsar: run: unknown option --vairant (known here: --set, --variant, --out, --jobs, --json, "
       "--quiet, --why, --check, --one-event-per-step, --color, --help); did you mean --variant?\n"},
      {"run x.ctr --jobs 0", "collapsar: run: --jobs 0: 1 to 1024\n"},
      {"run x.ctr --why here", "collapsar: run: --why here: no address; write it as 0x7f3a12345678\n"},
      {"run " + bad,
       "collapsar: " + bad +
           ":1:7: cpu.cuont: unknown key (known here: count, frequency, cycles_per_instruction, outstanding, "
           "window, store_buffer, dependence, time_slice, interleave); did you mean count?\n"},
      {"trace convert a b",
       "collapsar: trace convert: b: the last argument is the file to write; its name ends in .ctr or .txt\n"},
      {"capture -- no-such-program", "collapsar: capture: no-such-program: no such program in any folder of PATH\n"},
      {"capture -- ./no-such-program",
       "collapsar: capture: ./no-such-program: no program; expected a file that may be executed\n"},
      {"config keys nothing-like-this", "collapsar: config keys: no key contains nothing-like-this\n"},
  }};
  for (const auto& [arguments, text] : cases) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_EQ(outcome.text, text) << arguments;
  }
}

TEST_F(CliTest, AFileThatIsNotThereIsNamed) {
  for (const char* arguments : {"run nowhere.yaml", "run nowhere.ctr", "trace info nowhere.ctr"}) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_NE(outcome.text.find("nowhere"), std::string::npos) << outcome.text;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
}

TEST_F(CliTest, RunsAConfigAndWritesTheReportDirectory) {
  const std::string config = write("tiny.yaml", kTiny);
  const Outcome outcome = run_program(fmt::format("run {} --out {}", config, path("out")));
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_TRUE(outcome.text.starts_with("tiny: 1,024 references of ")) << outcome.text;
  for (const char* file :
       {"out/report.html", "out/result.json", "out/timeseries.csv", "out/ranges.csv", "out/events.json"})
    EXPECT_TRUE(fs::exists(path(file)));
}

TEST_F(CliTest, OutOfSimulatedMemoryIsStatusOneAndNamesTheVariant) {
  const std::string config =
      write("full.yaml", std::string(kTiny) + "trace.synthetic: [{pattern: touch, footprint: 128MiB, write: true}]\n");
  EXPECT_EQ(run_program("run " + config).status, 2) << "a repeated key";
  const Outcome outcome =
      run_program(fmt::format("run {} --set 'trace.synthetic=[{{pattern: touch, footprint: 128MiB, write: true}}]'",
                              write("tiny.yaml", kTiny)));
  EXPECT_EQ(outcome.status, 1) << outcome.text;
  EXPECT_TRUE(outcome.text.starts_with("collapsar: variant never: ")) << outcome.text;
}

TEST_F(CliTest, GeneratesATraceThatRunsAlone) {
  const std::string config = write("tiny.yaml", kTiny), trace = path("tiny.ctr");
  EXPECT_EQ(run_program(fmt::format("trace generate {} {}", config, trace)).text, trace + ": 1024 references\n");
  const Outcome info = run_program("trace info " + trace);
  EXPECT_NE(info.text.find("1,024 pages of 4 KiB (4 MiB)"), std::string::npos) << info.text;
  EXPECT_NE(info.text.find("mapped        1 VMA at the start, 4 MiB"), std::string::npos) << info.text;
  EXPECT_NE(info.text.find("  50 %  512 references                 512 pages so far, 103 touched in this tenth"),
            std::string::npos)
      << info.text;
  const Outcome head = run_program("trace head -n 3 " + trace);
  EXPECT_EQ(std::count(head.text.begin(), head.text.end(), '\n'), 3) << head.text;
  const Outcome cut = run_program(fmt::format("trace convert {} {} --limit 100", trace, path("cut.ctr")));
  EXPECT_EQ(cut.text, path("cut.ctr") + ": 100 references\n");
  EXPECT_EQ(run_program(fmt::format("run {} --variant always", trace)).status, 0);
  const Outcome piece = run_program(fmt::format("trace cut {} {} --skip 600 --limit 100", trace, path("piece.txt")));
  EXPECT_EQ(piece.text, path("piece.txt") + ": 100 references, 600 pages in memory before\n");
  EXPECT_EQ(run_program(fmt::format("run {} --variant always", path("piece.txt"))).status, 0);
}

TEST_F(CliTest, ShowsTheEffectiveConfigOfAVariant) {
  const std::string config = write("tiny.yaml", kTiny);
  const Outcome shown = run_program(fmt::format("config show {} --variant khugepaged --set seed=7", config));
  EXPECT_NE(shown.text.find("    at_fault: false\n"), std::string::npos) << shown.text;
  EXPECT_NE(shown.text.find("seed: 7\n"), std::string::npos) << shown.text;
  EXPECT_EQ(run_program("config check " + config).text,
            config + ": good; variants never, khugepaged, always; baseline never\n");
}

}  // namespace

}  // namespace collapsar
