// Did a result change? Each config of this folder is run and its result.json compared, line by line, with the one beside it.
// COLLAPSAR_UPDATE_GOLDEN=1 writes the files anew; the change is then to be read and explained in the commit.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/run/report.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(COLLAPSAR_SOURCE_DIR) / "tests" / "golden";

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// "mmu.walks" of `  "mmu.walks": 12,`.
std::string key_of(const std::string& line) {
  const std::size_t colon = line.find("\": ");
  return colon == std::string::npos ? line : line.substr(0, colon);
}

// The lines that differ; a line that only one side has does not shift the rest.
std::string difference(const std::string& golden, const std::string& now) {
  const std::vector<std::string> before = lines_of(golden), after = lines_of(now);
  std::string out;
  std::size_t i = 0, j = 0;
  while (i < before.size() || j < after.size()) {
    if (i < before.size() && j < after.size() && key_of(before[i]) == key_of(after[j])) {
      if (before[i] != after[j]) out += "-" + before[i] + "\n+" + after[j] + "\n";
      ++i, ++j;
      continue;
    }
    const auto found =
        std::find_if(after.begin() + std::ptrdiff_t(std::min(j, after.size())), after.end(),
                     [&](const std::string& line) { return i < before.size() && key_of(line) == key_of(before[i]); });
    if (i < before.size() && found == after.end()) out += "-" + before[i++] + "\n";
    else out += "+" + after[j++] + "\n";
  }
  return out;
}

std::vector<std::string> configs() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder))
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, ResultHasNotChanged) {
  RunOptions options;
  options.check = true;
  options.search_dirs = {fs::path(COLLAPSAR_SOURCE_DIR) / "configs"};
  const ConfigNode config = load_experiment(kFolder / (GetParam() + ".yaml"), {}, options.search_dirs);
  const std::string now = json_report(run_experiment(config, options));
  const fs::path file = kFolder / (GetParam() + ".json");
  if (std::getenv("COLLAPSAR_UPDATE_GOLDEN")) std::ofstream(file, std::ios::binary) << now;
  EXPECT_EQ(difference(text_of(file), now), "");
}

INSTANTIATE_TEST_SUITE_P(All, Golden, ::testing::ValuesIn(configs()), [](const auto& param) {
  std::string name = param.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace collapsar
