// The marks of configs/validation are met, and README.md shows what the program prints.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(COLLAPSAR_SOURCE_DIR "/configs/validation"))
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

struct Outcome {
  int status = -1;
  std::string text;
};

Outcome validate(const std::string& name) {
  Outcome outcome;
  std::FILE* pipe = ::popen(fmt::format("{} validate {} 2>&1", COLLAPSAR_PROGRAM, name).c_str(), "r");
  std::array<char, 4096> block{};
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), pipe)) outcome.text.append(block.data(), n);
  outcome.status = WEXITSTATUS(::pclose(pipe));
  return outcome;
}

std::string readme() {
  std::ostringstream text;
  text << std::ifstream(COLLAPSAR_SOURCE_DIR "/README.md").rdbuf();
  return text.str();
}

class ValidationPage : public ::testing::TestWithParam<std::string> {};

TEST_P(ValidationPage, MeetsItsMarksAndStandsInTheReadme) {
  const Outcome outcome = validate(GetParam());
  EXPECT_EQ(outcome.text.find("missed: "), std::string::npos) << outcome.text;
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  const std::string table = outcome.text.substr(0, outcome.text.find("\n\n") + 1);
  EXPECT_NE(readme().find(table), std::string::npos) << "README.md shows another table than\n" << table;
}

INSTANTIATE_TEST_SUITE_P(All, ValidationPage, ::testing::ValuesIn(names()), [](const auto& p) {
  std::string name = p.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
