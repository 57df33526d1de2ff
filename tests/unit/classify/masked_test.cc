// The forms in which logs show letters that are not ASCII.
#include "classify/masked.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "classify/normalise.h"

namespace bounced::classify {
namespace {

std::vector<std::string> forms_of(const std::string& literal) {
  std::vector<std::string> literals{literal};
  add_masked(literals);
  return literals;
}

bool has(const std::vector<std::string>& forms, const std::string& form) {
  return std::find(forms.begin(), forms.end(), form) != forms.end();
}

TEST(Masked, AsciiStaysAlone) {
  EXPECT_EQ(forms_of("user unknown").size(), 1u);
  EXPECT_TRUE(forms_of("").size() == 1u);
}

TEST(Masked, LettersBytesAndAccents) {
  const auto forms = forms_of("empfänger unbekannt");
  EXPECT_TRUE(has(forms, "empf?nger unbekannt"));
  EXPECT_TRUE(has(forms, "empf??nger unbekannt"));
  EXPECT_TRUE(has(forms, "empfanger unbekannt"));
  EXPECT_TRUE(has(forms, "empfaenger unbekannt"));
  EXPECT_TRUE(has(forms_of("użytkownik usunięty, łódź"), "uzytkownik usuniety, lodz"));
}

TEST(Masked, OtherScriptsTellNothingWhenMasked) {
  EXPECT_EQ(forms_of("ящик переполнен").size(), 1u);
  EXPECT_EQ(forms_of("邮箱已满").size(), 1u);
  EXPECT_EQ(forms_of("à é").size(), 2u) << "without accents, but not masked: too few letters";
}

TEST(Masked, TwiceAddsNothing) {
  auto forms = forms_of("buzón lleno");
  const auto size = forms.size();
  add_masked(forms);
  EXPECT_EQ(forms.size(), size);
}

// A form that the normaliser would change could never match.
TEST(Masked, FormsAreNormal) {
  Normaliser normaliser;
  for (const char* literal : {"empfänger unbekannt", "n'est pas enregistré", "não há usuário"}) {
    for (const std::string& form : forms_of(literal)) {
      Normalised out;
      normaliser.run(form, 0, out);
      EXPECT_EQ(out.text, form);
    }
  }
}

TEST(Masked, ReplacementCharactersAreMasks) {
  Normaliser normaliser;
  Normalised out;
  normaliser.run("550 Empf\xef\xbf\xbdnger unbekannt", 0, out);
  EXPECT_EQ(out.text, "empf?nger unbekannt");
}

}  // namespace
}  // namespace bounced::classify
