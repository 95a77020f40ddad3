// Completion in bash and zsh, and man pages: made from the program's own tables, so that nothing is missing in them.
#include <algorithm>
#include <iterator>
#include <sstream>
#include <vector>

#include "tests/unit/run/cli_program.h"

namespace collapsar {

namespace {

using Words = std::vector<std::string>;

Words lines_of(const std::string& text) {
  Words lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The first word of each entry of a list of the help, as "Commands" or "Options".
Words entries(const std::string& help, const std::string& heading) {
  Words words;
  bool is_inside = false;
  for (const std::string& line : lines_of(help)) {
    if (line.empty()) is_inside = false;
    const std::size_t at = heading == "Options" ? 6 : 2;
    if (is_inside && line.size() > at && line[at] != ' ') words.push_back(line.substr(at, line.find(' ', at) - at));
    if (line == heading + ":") is_inside = true;
  }
  return words;
}

class CliCompletionTest : public CliTest {
 protected:
  CliCompletionTest() { std::filesystem::create_directory(path("here")); }
  // What bash offers for the last of the words behind "collapsar", as readline splits them.
  Words bash(const std::string& words) {
    const std::string script =
        write("complete.sh", fmt::format(R"(cd {}; source {}/sim/run/completion/collapsar.bash
COMP_WORDS=({} {}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_collapsar
printf '%s\n' "${{COMPREPLY[@]}}")",
                                         (dir_ / "here").string(), COLLAPSAR_SOURCE_DIR, COLLAPSAR_PROGRAM, words));
    const Outcome outcome = shell("bash --norc " + script + " 2>&1");
    Words lines = lines_of(outcome.text);
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  static Words sorted(Words words) { return std::sort(words.begin(), words.end()), words; }
};

TEST_F(CliCompletionTest, BashKnowsEveryCommandAndEveryOption) {
  Words commands = entries(run_program("--help").text, "Commands");
  ASSERT_GE(commands.size(), 9U);
  commands.emplace_back("--help");
  EXPECT_EQ(bash("\"\""), sorted(commands));
  commands.pop_back();
  for (const std::string& command : commands) {
    const std::string help = run_program(command + " --help").text;
    const Words below = entries(help, "Commands");
    if (below.empty()) {
      EXPECT_EQ(bash(command + " --"), sorted(entries(help, "Options"))) << command;
      continue;
    }
    EXPECT_EQ(bash(command + " \"\"").size(), below.size() + 1) << command;
    for (const std::string& each : below)
      EXPECT_EQ(bash(fmt::format("{} {} --", command, each)),
                sorted(entries(run_program(fmt::format("{} {} --help", command, each)).text, "Options")))
          << each;
  }
}

TEST_F(CliCompletionTest, BashCompletesWhatAWordBegins) {
  EXPECT_EQ(bash("tr"), Words{"trace"});
  EXPECT_EQ(bash("trace c"), (Words{"convert", "cut"}));
  EXPECT_EQ(bash("help trace cu"), Words{"cut"});
  EXPECT_EQ(bash("run --one"), Words{"--one-event-per-step"});
  EXPECT_EQ(bash("capture --ifetch p"), Words{"page"});
  EXPECT_EQ(bash("run --color = a"), (Words{"always", "auto"}));
  EXPECT_EQ(bash("completion \"\""), (Words{"bash", "zsh"}));
  EXPECT_EQ(bash("run --jobs \"\""), Words{""}) << "a number is not guessed";
  EXPECT_EQ(bash("nothing \"\""), Words{""});
}

TEST_F(CliCompletionTest, BashCompletesConfigKeysStepByStep) {
  EXPECT_EQ(bash("run x.ctr --set kern"), Words{"kernel."});
  EXPECT_EQ(bash("run x.ctr --set kernel.khugepaged.scan_s"), Words{"kernel.khugepaged.scan_sleep="});
  EXPECT_EQ(bash("sweep x.ctr --vary kernel.thp.enabled = n"), Words{"never"});
  EXPECT_EQ(bash("run --set = kernel.thp.enabled = mad"), Words{"madvise"});
  EXPECT_EQ(bash("run --set base = machines/zen4"), Words{"machines/zen4.yaml"});
  EXPECT_EQ(bash("config keys kernel.khugepaged.scan_s"), Words{"kernel.khugepaged.scan_sleep"});
}

TEST_F(CliCompletionTest, BashCompletesNamesThatDependOnFiles) {
  write("here/two.yaml",
        std::string(kTiny) + "variants: {slow: {cpu.count: 1}, fast: {cpu.count: 2}}\nbaseline: slow\n");
  EXPECT_EQ(bash("run two.yaml --variant \"\""), (Words{"fast", "slow"}));
  EXPECT_EQ(bash("run x.ctr --variant kh"), Words{"khugepaged"});
  EXPECT_EQ(bash("validate rand"), Words{"random-reads"});
  EXPECT_EQ(bash("scenario --kernel 6.12"), Words{"6.12"});
}

TEST_F(CliCompletionTest, BashCompletesFilesWhereTheyAreWanted) {
  write("here/a.yaml", ""), write("here/b.ctr", ""), write("here/c.scn", "");
  std::filesystem::create_directory(path("here/d"));
  EXPECT_EQ(bash("run ./"), (Words{"./a.yaml", "./b.ctr", "./c.scn", "./d"}));
  EXPECT_EQ(bash("config check ./"), (Words{"./a.yaml", "./d"}));
  EXPECT_EQ(bash("scenario ./"), (Words{"./c.scn", "./d"}));
  EXPECT_EQ(bash("run a.yaml --out ./"), Words{"./d"});
  const Words commands = bash("capture -- bas");
  EXPECT_NE(std::find(commands.begin(), commands.end(), "bash"), commands.end());
  EXPECT_EQ(bash("capture -- bash ./b"), Words{"./b.ctr"});
}

TEST_F(CliCompletionTest, ScriptsArePrinted) {
  for (const char* shell_name : {"bash", "zsh"}) {
    const char* file = std::string_view(shell_name) == "bash" ? "collapsar.bash" : "_collapsar";
    std::ifstream stream(fmt::format("{}/sim/run/completion/{}", COLLAPSAR_SOURCE_DIR, file));
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_EQ(run_program(fmt::format("completion {}", shell_name)).text, text);
  }
  EXPECT_EQ(run_program("completion fish").text, "collapsar: completion: fish: bash or zsh is right\n");
}

TEST_F(CliCompletionTest, ZshCompletesWordsAndFiles) {
  ASSERT_EQ(shell("command -v zsh").status, 0) << "as root: apt-get install zsh";
  const auto zsh = [&](const std::string& words) {
    return shell(fmt::format("cd {} && timeout 60 zsh -f {}/tests/unit/run/complete.zsh {} '{}' 2>&1", path("here"),
                             COLLAPSAR_SOURCE_DIR, COLLAPSAR_PROGRAM, words))
        .text;
  };
  write("here/some.yaml", ""), write("here/some.ctr", "");
  EXPECT_EQ(zsh("collapsar tra"), "collapsar trace \n");
  EXPECT_EQ(zsh("collapsar run --set kernel.khu"), "collapsar run --set kernel.khugepaged.\n");
  EXPECT_EQ(zsh("collapsar run --set=kernel.thp.enabled=nev"), "collapsar run --set=kernel.thp.enabled=never \n");
  EXPECT_EQ(zsh("collapsar config check so"), "collapsar config check some.yaml \n");
}

TEST_F(CliCompletionTest, EveryCommandHasAManPage) {
  ASSERT_EQ(shell("command -v help2man").status, 0) << "as root: apt-get install help2man";
  const auto make = [&](const std::string& folder) {
    return shell(fmt::format("sh {}/cmake/man_pages.sh help2man {} 'it is this' {} 2>&1", COLLAPSAR_SOURCE_DIR,
                             COLLAPSAR_PROGRAM, path(folder)));
  };
  const Outcome made = make("one");
  EXPECT_EQ(made.status, 0);
  EXPECT_EQ(made.text, "");
  make("two");
  EXPECT_EQ(shell(fmt::format("diff -r {} {}", path("one"), path("two"))).text, "") << "the same bytes each time";
  const auto page = [&](const std::string& name) {
    std::ifstream stream(fmt::format("{}/{}.1", path("one"), name));
    return std::string{std::istreambuf_iterator<char>(stream), {}};
  };
  const std::string main_page = page("collapsar");
  for (const char* part : {".TH COLLAPSAR \"1\" \"\" \"collapsar ", "collapsar \\- it is this", ".SH \"EXIT STATUS\"",
                           ".SH COMMANDS", ".SH ENVIRONMENT", ".SH EXAMPLES", ".BR collapsar-trace (1)"})
    EXPECT_NE(main_page.find(part), std::string::npos) << part << "\n" << main_page;
  for (const std::string& command : entries(run_program("--help").text, "Commands")) {
    EXPECT_NE(page("collapsar-" + command).find(".B collapsar " + command + "\n"), std::string::npos) << command;
    for (const std::string& below : entries(run_program(command + " --help").text, "Commands"))
      EXPECT_NE(page(fmt::format("collapsar-{}-{}", command, below)).find(".SH OPTIONS"), std::string::npos) << below;
  }
}

}  // namespace

}  // namespace collapsar
