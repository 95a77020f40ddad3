// What the program does to files: nothing to those it reads, nothing half written, and what is empty is said.
#include <fcntl.h>

#include <fstream>

#include "tests/unit/run/cli_program.h"

namespace collapsar {

namespace {

namespace fs = std::filesystem;

class CliFilesTest : public CliTest {
 protected:
  // A trace of 32 references.
  std::string trace() {
    const std::string config =
        write("touch.yaml", "trace.synthetic: [{pattern: touch, footprint: 128KiB, write: true}]\n");
    EXPECT_EQ(run_program(fmt::format("trace generate {} {}", config, path("app.ctr"))).status, 0);
    return path("app.ctr");
  }
  std::size_t files() const { return std::size_t(std::distance(fs::directory_iterator(path("")), {})); }
};

TEST_F(CliFilesTest, ATraceIsNotWrittenOverItself) {
  const std::string app = trace(), same = path("./app.ctr");
  const auto before = fs::file_size(app);
  for (const char* const command : {"trace cut {} {} --skip 5", "trace convert {} {}"}) {
    const Outcome outcome = run_program(fmt::format(fmt::runtime(command), app, same));
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.text.find("would be written over itself"), std::string::npos) << outcome.text;
  }
  EXPECT_EQ(fs::file_size(app), before);
}

TEST_F(CliFilesTest, APieceBehindTheEndIsRefused) {
  const std::string app = trace();
  const std::size_t before = files();
  const Outcome outcome = run_program(fmt::format("trace cut {} {} --skip 32", app, path("none.ctr")));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.text, fmt::format("collapsar: {}: 32 references; none is left after the first 32\n", app));
  EXPECT_EQ(files(), before);
}

TEST_F(CliFilesTest, AKilledWriterLeavesNothing) {
  const std::string config = write(
      "long.yaml", "trace.synthetic: [{pattern: random, footprint: 1GiB, references: 1000M}]\nmemory.size: 4GiB\n");
  const int nameless = ::open(path("").c_str(), O_WRONLY | O_TMPFILE, 0600);
  const std::size_t left = nameless < 0 ? 1 : 0;  // where the file system has no files without a name
  ::close(nameless);
  const std::size_t before = files();
  const Outcome outcome = shell(fmt::format("timeout --signal=KILL 1 {} trace generate {} {} --quiet 2>&1",
                                            COLLAPSAR_PROGRAM, config, path("long.ctr")));
  EXPECT_NE(outcome.status, 0);
  EXPECT_EQ(files(), before + left);
  EXPECT_FALSE(fs::exists(path("long.ctr")));
}

TEST_F(CliFilesTest, ATraceWithoutReferencesEndsAtOnce) {
  const std::string empty = write("empty.txt", "collapsar-trace 1\nby 1 1\nprocess name=idle\n");
  const Outcome outcome = run_program(fmt::format("run {} --quiet", empty));
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_NE(outcome.text.find(": 0 references of empty.txt"), std::string::npos) << outcome.text;
}

TEST_F(CliFilesTest, ARunThatFailsLeavesNoFolders) {
  const std::string broken = write("broken.ctr", "not a trace");
  fs::create_directory(path("there"));
  const std::size_t before = files();
  for (const char* const out : {"new", "new/deep/er", "there/new/", "there"}) {
    const Outcome outcome = run_program(fmt::format("run {} --out {} --quiet", broken, path(out)));
    EXPECT_EQ(outcome.status, 2) << outcome.text;
    EXPECT_EQ(files(), before) << out;
    EXPECT_TRUE(fs::is_empty(path("there"))) << out;
  }
  EXPECT_EQ(run_program(fmt::format("run {} --out {} --quiet", trace(), path("new/deep"))).status, 0);
  EXPECT_TRUE(fs::exists(path("new/deep/result.json")));
}

TEST_F(CliFilesTest, AnOptionWithNothingInItIsRefused) {
  const Outcome outcome = run_program(fmt::format("run {} --out ''", trace()));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.text, "collapsar: run: --out: nothing is given\n");
}

TEST_F(CliFilesTest, TuneSaysWhyNothingIsGained) {
  const std::string app = trace();
  const auto tune = [&](const std::string& options) {
    return run_program(fmt::format("tune {} --quiet --out {} {}", app, path("tuned"), options));
  };
  EXPECT_NE(tune("").text.find("khugepaged never came to work"), std::string::npos);
  EXPECT_NE(tune("--max-rss 4KiB").text.find("no knobs keep within 4 KiB: the program alone takes 128 KiB"),
            std::string::npos);
  const Outcome other = tune("--set kernel.khugepaged.policy=coverage");
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.text.find("no kernel has a knob for it"), std::string::npos) << other.text;
}

}  // namespace

}  // namespace collapsar
