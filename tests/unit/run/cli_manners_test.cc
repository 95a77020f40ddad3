// Manners of the program: exit statuses as documented, what was meant by a mistyped word, colour, progress.
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "tests/unit/run/cli_program.h"

namespace collapsar {

namespace {

// One space between words, and nothing else.
std::string words_of(const std::string& text) {
  std::istringstream stream(text);
  std::string out, word;
  while (stream >> word) out += (out.empty() ? "" : " ") + word;
  return out;
}

// The lines under `heading` of a help text.
std::string section(const std::string& help, const std::string& heading) {
  const std::size_t begin = help.find("\n" + heading + ":\n");
  if (begin == help.npos) return "";
  const std::size_t from = begin + heading.size() + 3;
  return help.substr(from, help.find("\n\n", from) - from);
}

// "  0  done" -> {0, "done"}, over all lines of a list.
std::vector<std::pair<int, std::string>> statuses_of(const std::string& help) {
  std::vector<std::pair<int, std::string>> statuses;
  std::istringstream lines(section(help, "Exit status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 2 && line[2] != ' ') statuses.emplace_back(std::stoi(line), line.substr(5));
    else statuses.back().second += " " + words_of(line);
  }
  return statuses;
}

using CliMannersTest = CliTest;

TEST_F(CliMannersTest, ExitStatusesAreTheSameInHelpAndReadme) {
  std::ifstream file(COLLAPSAR_SOURCE_DIR "/README.md");
  const std::string readme = words_of({std::istreambuf_iterator<char>(file), {}});
  const auto statuses = statuses_of(run_program("--help").text);
  ASSERT_EQ(statuses.size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(statuses[std::size_t(i)].first, i);
    EXPECT_NE(readme.find(fmt::format("| {} | {} |", i, statuses[std::size_t(i)].second)), std::string::npos)
        << statuses[std::size_t(i)].second;
  }
}

TEST_F(CliMannersTest, ExitStatusesAreThoseOfTheHelp) {
  const std::string tiny = write("tiny.yaml", kTiny);
  const std::string missed = write("missed.yaml", std::string(kTiny) +
                                                      "validation: {quantities: [{name: it, ours: refs, reference: 1, "
                                                      "source: x, mark: exact}]}\n");
  const std::string too_much = "'trace.synthetic=[{pattern: touch, footprint: 128MiB, write: true}]'";
  const std::vector<std::pair<std::string, int>> cases = {
      {"--version", 0},
      {"config check " + tiny, 0},
      {"run --quiet " + tiny, 0},
      {"validate " + missed, 1},
      {fmt::format("run {} --set {}", tiny, too_much), 1},
      {fmt::format("sweep {} --vary memory.size=64MiB,96MiB --set {} --out {}", tiny, too_much, path("out")), 1},
      {"config keys >/dev/full", 1},
      {"no-such-command", 2},
      {"run", 2},
      {"run " + write("wrong.yaml", "cpu.cuont: 2\n"), 2},
      {"trace info " + write("wrong.ctr", "no trace"), 2},
      {"scenario " + write("wrong.scn", "no scenario"), 2},
      {"run nowhere.yaml", 2},
      {fmt::format("run {} --out /dev/null/out", tiny), 2},
  };
  for (const auto& [arguments, status] : cases) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.status, status) << arguments << "\n" << outcome.text;
  }
}

TEST_F(CliMannersTest, SaysWhatMayHaveBeenMeant) {
  const std::string tiny = write("tiny.yaml", kTiny);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"swep", "sweep"},
      {"captrue -- ls", "capture"},
      {"trace convret a b", "convert"},
      {"config chekc " + tiny, "check"},
      {"info x.ctr", "trace info"},
      {"keys", "config keys"},
      {tiny, "run " + tiny},
      {"--verison", "--version"},
      {"help sceanrio", "scenario"},
      {"run --varaint never " + tiny, "--variant"},
      {"trace head --line 3 x.ctr", "--lines"},
      {fmt::format("run {} --variant khugepagd", tiny), "khugepaged"},
      {fmt::format("run {} --set kernel.khugepaged.scan_slep=1s", tiny), "scan_sleep"},
      {fmt::format("sweep {} --vary cpu.cuont=1,2 --out {}", tiny, path("out")), "count"},
      {"validate random-raeds", "random-reads"},
      {"rnu x.yaml", "run"},
      {"trace inof x.ctr", "info"},
  };
  for (const auto& [arguments, meant] : cases) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_TRUE(outcome.text.ends_with(fmt::format("; did you mean {}?\n", meant))) << outcome.text;
  }
  EXPECT_EQ(run_program("unheard-of").text.find("did you mean"), std::string::npos);
}

TEST_F(CliMannersTest, HelpIsFoundBeforeAndBehindACommand) {
  const std::string help = run_program("trace cut --help").text;
  EXPECT_EQ(run_program("help trace cut").text, help);
  EXPECT_EQ(run_program("trace help cut").text, help);
  EXPECT_EQ(run_program("trace cut -h").text, help);
  EXPECT_NE(section(help, "Options").find("      --skip N"), std::string::npos) << help;
  EXPECT_EQ(run_program("help").text, run_program("--help").text);
}

constexpr const char* kEscape = "\033[";

bool is_coloured(const std::string& text) { return text.find(kEscape) != std::string::npos; }

TEST_F(CliMannersTest, ColoursOnATerminalThatWantsIt) {
  const std::string program = COLLAPSAR_PROGRAM;
  const auto says = [&](const std::string& environment, const std::string& arguments) {
    return on_terminal(fmt::format("unset NO_COLOR; {} {} {}", environment, program, arguments)).text;
  };
  EXPECT_TRUE(says("TERM=xterm", "rum").starts_with("\033[1;31mcollapsar:\033[m unknown command rum"));
  EXPECT_TRUE(is_coloured(says("TERM=xterm NO_COLOR=", "rum"))) << "empty is not set: no-color.org";
  EXPECT_FALSE(is_coloured(says("TERM=xterm NO_COLOR=1", "rum")));
  EXPECT_FALSE(is_coloured(says("TERM=xterm NO_COLOR=0", "rum"))) << "whatever the value";
  EXPECT_FALSE(is_coloured(says("TERM=dumb", "rum")));
  EXPECT_FALSE(is_coloured(says("TERM=", "rum")));
  EXPECT_FALSE(is_coloured(says("TERM=xterm", "run --color=never")));
  EXPECT_TRUE(is_coloured(says("TERM=xterm NO_COLOR=1", "run --color always")));
  EXPECT_EQ(run_program("run x.ctr --color sometimes").text,
            "collapsar: run: --color sometimes: auto, never or always is right\n");
}

TEST_F(CliMannersTest, AColouredTableIsThePlainOneWithEmphasis) {
  const std::string run = fmt::format("run --quiet {}", write("tiny.yaml", kTiny));
  const std::string plain = run_program(run).text;
  std::string coloured = run_program(run + " --color=always").text;
  EXPECT_FALSE(is_coloured(plain));
  EXPECT_NE(coloured.find("\n\033[1mTLB\033[m\n"), std::string::npos) << coloured;
  for (const std::string code : {"\033[1m", "\033[m"})
    for (std::size_t at = 0; (at = coloured.find(code)) != coloured.npos;) coloured.erase(at, code.size());
  EXPECT_EQ(coloured, plain);
}

TEST_F(CliMannersTest, AMissedMarkStandsOut) {
  const std::string file = write("v.yaml", std::string(kTiny) +
                                               "validation: {quantities: [{name: it, ours: refs, reference: 1, source: "
                                               "x, mark: exact}]}\n");
  EXPECT_NE(run_program("validate --color=always " + file).text.find("\033[1;31mMISSED\033[m"), std::string::npos);
  EXPECT_NE(run_program("validate " + file).text.find("  MISSED  x\n"), std::string::npos);
}

// Some seconds of work, so that lines are due.
class CliProgressTest : public CliTest {
 protected:
  std::string terminal(const std::string& arguments) {
    return on_terminal(fmt::format("TERM=xterm {} {}", COLLAPSAR_PROGRAM, arguments)).text;
  }
  static bool tells_time_left(const std::string& text) {
    return text.find("\r\033[K") != text.npos && text.find(" % ") != text.npos && text.find(" left") != text.npos;
  }
  std::string long_config() {
    return write("long.yaml",
                 "trace.synthetic: [{pattern: sequential, footprint: 4MiB, references: 4M}]\n"
                 "memory.size: 64MiB\ncaches: none\ndram.ideal: 80ns\nswap.device: none\n"
                 "validation: {quantities: [{name: it, ours: refs, reference: 4000000, source: x, mark: exact}]}\n");
  }
};

TEST_F(CliProgressTest, ExperimentsTellTheTimeLeftOnATerminal) {
  const std::string config = long_config();
  const std::string run = terminal(fmt::format("run {} --variant never", config));
  EXPECT_TRUE(tells_time_left(run)) << run;
  EXPECT_NE(run.find("/1 variants  "), std::string::npos) << run;
  EXPECT_FALSE(tells_time_left(terminal(fmt::format("run {} --variant never --quiet", config))));
  EXPECT_FALSE(
      tells_time_left(on_terminal(fmt::format("TERM=dumb {} run {} --variant never", COLLAPSAR_PROGRAM, config)).text));
  EXPECT_FALSE(tells_time_left(run_program(fmt::format("run {} --variant never", config)).text)) << "through a pipe";
  const std::string validate = terminal("validate " + config);
  EXPECT_TRUE(tells_time_left(validate)) << validate;
  EXPECT_NE(validate.find("1/1 long: "), std::string::npos) << validate;
}

TEST_F(CliProgressTest, SweepTuneAndScenarioTellIt) {
  const std::string config = long_config(), out = path("out");
  const std::string sweep = terminal(fmt::format("sweep {} --vary seed=1 --variant never --out {}", config, out));
  EXPECT_TRUE(tells_time_left(sweep)) << sweep;
  const std::string tune = terminal(fmt::format("tune {} --jobs 1 --out {}", config, out));
  EXPECT_TRUE(tells_time_left(tune)) << tune;
  EXPECT_NE(tune.find("/31 runs at most  "), std::string::npos) << tune;
  const std::string played =
      terminal("scenario " COLLAPSAR_SOURCE_DIR "/tests/oracle/cases/01-full-pmd.scn --out " + path("played.jsonl"));
  EXPECT_NE(played.find("\r\033[K0/1 scenarios  "), std::string::npos) << played;
}

TEST_F(CliProgressTest, TracesTellTheTimeLeftOnATerminal) {
  const std::string trace = path("long.ctr");
  const std::string generated = terminal(fmt::format("trace generate {} {}", long_config(), trace));
  EXPECT_TRUE(tells_time_left(generated)) << generated;
  EXPECT_TRUE(generated.ends_with(": 4000000 references\r\n")) << generated;
  const std::string cut = terminal(fmt::format("trace cut {} {} --skip 2M", trace, path("cut.ctr")));
  EXPECT_TRUE(tells_time_left(cut)) << cut;
  const std::string converted = terminal(fmt::format("trace convert {} {}", trace, path("again.txt")));
  EXPECT_TRUE(tells_time_left(converted)) << converted;
  EXPECT_FALSE(tells_time_left(terminal(fmt::format("trace convert {} {} --quiet", trace, path("again.txt")))));
}

}  // namespace

}  // namespace collapsar
