// Every file of the fuzz corpora through its reader: seeds, and what once broke one.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/fuzz_targets.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

class FuzzCorpus : public ::testing::TestWithParam<testing::FuzzTarget> {};

TEST_P(FuzzCorpus, IsReadOrRefused) {
  std::size_t files = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(COLLAPSAR_SOURCE_DIR "/tests/fuzz/corpus") / GetParam().name)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    EXPECT_NO_THROW(GetParam().run({first, bytes.size()})) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 0u);
}

INSTANTIATE_TEST_SUITE_P(Readers, FuzzCorpus,
                         ::testing::ValuesIn(testing::fuzz_targets().begin(), testing::fuzz_targets().end()),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace collapsar
