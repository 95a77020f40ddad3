#include "sim/run/validation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace collapsar {
namespace {

namespace fs = std::filesystem;

// 1,024 pages are touched: as many faults, and as many references.
constexpr const char* kExperiment =
    "trace.synthetic: [{pattern: touch, footprint: 4MiB, write: true}]\n"
    "memory.size: 64MiB\n"
    "caches: none\n"
    "dram.ideal: 80ns\n"
    "swap.device: none\n"
    "variants: {small: {kernel.thp.enabled: never}, huge: {kernel.thp.enabled: always}}\n";

std::string quantity(const std::string& ours, const std::string& reference, const std::string& mark) {
  return fmt::format("    - {{name: it, ours: {}, reference: {}, mark: {}, source: a book}}\n", ours, reference, mark);
}

class Validation : public ::testing::Test {
 protected:
  Validation() : file_(fs::temp_directory_path() / fmt::format("collapsar-validation-{}.yaml", ::getpid())) {}
  ~Validation() override { fs::remove(file_); }
  ValidationResult run(const std::string& quantities) {
    std::ofstream(file_) << kExperiment << "validation:\n  about: pages\n  quantities:\n" << quantities;
    return run_validation(file_, RunOptions{});
  }
  std::string refusal(const std::string& quantities) {
    try {
      run(quantities);
    } catch (const ConfigError& error) {
      const std::string text = error.what();
      const std::size_t place = text.find(".yaml:");
      return place == text.npos ? text : text.substr(place + 6);
    }
    return "accepted";
  }
  bool is_met(const std::string& reference, const std::string& mark) {
    return *run(quantity("faults.minor@small", reference, mark)).rows.at(0).is_met;
  }
  fs::path file_;
};

TEST_F(Validation, HoldsAnExpressionOverVariantsAgainstItsReference) {
  const ValidationResult result = run(quantity("faults.minor@small / 2 + faults.huge@huge", "500 + 10", "5 %") +
                                      quantity("refs", "2000", "5 %") + quantity("refs", "2000", "none"));
  EXPECT_EQ(result.about, "pages");
  ASSERT_EQ(result.rows.size(), 3U);
  EXPECT_EQ(result.rows[0].ours, 514);
  EXPECT_EQ(result.rows[0].reference, 510);
  EXPECT_EQ(result.rows[0].is_met, true);
  EXPECT_EQ(result.rows[1].ours, 1024) << "of the baseline";
  EXPECT_EQ(result.rows[1].is_met, false);
  EXPECT_FALSE(result.rows[2].is_met.has_value());
  EXPECT_EQ(validation_summary({result}), fmt::format("1 of 2 marks met; 1 figures shown without a mark\n"
                                                      "missed: {}: it\n",
                                                      result.name));
}

TEST_F(Validation, MarksAreMetAtTheirEdgeAndNotBeyond) {
  EXPECT_TRUE(is_met("1024", "exact"));
  EXPECT_FALSE(is_met("1025", "exact"));
  EXPECT_TRUE(is_met("1280", "20 %")) << "256 off, which is 20 % of 1280";
  EXPECT_FALSE(is_met("1281", "20 %"));
  EXPECT_TRUE(is_met("1026.5", "2.5 points"));
  EXPECT_FALSE(is_met("1027", "2.5 points"));
  EXPECT_TRUE(is_met("0", "1024 to 1030"));
  EXPECT_FALSE(is_met("1024", "1025 to 1030"));
}

TEST_F(Validation, ReadsFieldsOfHistograms) {
  const ValidationResult result = run(
      quantity("faults.stall_ns.sum@small - faults.stall_ns.mean@small * faults.stall_ns@small", "0", "0.1 points"));
  EXPECT_EQ(result.rows.at(0).is_met, true);
}

TEST_F(Validation, TheTableShowsBothValuesTheErrorAndTheMark) {
  const std::string table = validation_table(run(quantity("faults.minor@small", "1000", "1 %")));
  EXPECT_NE(table.find(": pages\n"), std::string::npos) << table;
  EXPECT_NE(table.find("  it      1,000  1,024  +2.4 %  within 1 %  MISSED  a book\n"), std::string::npos) << table;
}

TEST_F(Validation, RefusesWhatIsWrongInTheFile) {
  EXPECT_EQ(refusal("    - {name: it, ours: refs, reference: 1, mark: 5, source: x}\n"),
            "10:50: validation.quantities[0].mark: found 5; write 15 %, 0.1 points, exact, 1.2 to 3.4 or none");
  EXPECT_EQ(refusal("    - {name: it, ours: refs +, reference: 1, source: x}\n"),
            "10:24: validation.quantities[0].ours: found the end at character 7; write a number, a name or a bracket");
  EXPECT_EQ(refusal("    - {name: it, ours: refs, reference: refs, source: x}\n"),
            "10:41: validation.quantities[0].reference: refs; a reference is made of numbers alone");
  EXPECT_EQ(refusal("    - {name: it, ours: refs, reference: 1}\n"),
            "10:7: validation.quantities[0].source: missing in it");
  EXPECT_EQ(refusal("    - {name: it, our: refs, reference: 1, source: x}\n").substr(0, 50),
            "10:18: validation.quantities[0].our: unknown key (");
  EXPECT_EQ(refusal(quantity("refs@tiny", "1", "none")),
            "validation: it: @tiny: unknown variant (known here: small, huge)");
  EXPECT_EQ(refusal(quantity("mmu.wlks", "1", "none")),
            "validation: it: ours: mmu.wlks: no such number in the result; did you mean mmu.walks?");
}

TEST_F(Validation, ARunOfTheFileLeavesItOut) {
  run(quantity("refs", "1", "none"));
  const ConfigNode config = load_experiment(file_, {}, {});
  EXPECT_EQ(config.child("validation"), nullptr);
  EXPECT_EQ(resolve_experiment(config, {}, {}).variants.size(), 2U);
}

}  // namespace
}  // namespace collapsar
