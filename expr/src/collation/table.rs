//! The collations there are, with MySQL's numbers and names.

use super::CollationId;
use super::charset::Charset;
use super::chinese::Chinese;
use super::simple::Weights;
use super::unicode::{Language, Strength};

/// Whether spaces at the end of a text count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pad {
    /// PAD SPACE: they do not.
    Space,
    /// NO PAD: they are characters like any other.
    None,
}

/// How texts compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    CodePoint,
    /// By the bytes that a text has in the character set.
    Code,
    /// Han characters by how they are spoken.
    Pinyin(Chinese),
    /// One weight per character.
    Simple(Weights),
    /// The Unicode collation algorithm, as a language has it.
    Unicode(Strength, Language),
}

/// A row of information_schema.COLLATIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollationInfo {
    pub id: CollationId,
    pub name: &'static str,
    pub charset: Charset,
    /// It is what the character set alone stands for.
    pub is_default: bool,
    pub pad: Pad,
    pub sort_length: u8,
    pub(super) rule: Rule,
}

const fn row(
    id: u16,
    name: &'static str,
    charset: Charset,
    is_default: bool,
    pad: Pad,
    sort_length: u8,
    rule: Rule,
) -> CollationInfo {
    CollationInfo { id: CollationId(id), name, charset, is_default, pad, sort_length, rule }
}

const GENERAL: Rule = Rule::Simple(Weights::GeneralCi);
const GENERAL_CS: Rule = Rule::Simple(Weights::GeneralCs);
const PRIMARY: Rule = unicode(Strength::Primary);

const fn unicode(strength: Strength) -> Rule {
    Rule::Unicode(strength, Language::Root)
}

const fn of_language(id: u16, name: &'static str, charset: Charset, language: Language) -> CollationInfo {
    row(id, name, charset, false, Pad::Space, 8, Rule::Unicode(Strength::Primary, language))
}

const fn utf8mb3_of(id: u16, name: &'static str, language: Language) -> CollationInfo {
    of_language(id, name, Charset::Utf8mb3, language)
}

const fn utf8mb4_of(id: u16, name: &'static str, language: Language) -> CollationInfo {
    of_language(id, name, Charset::Utf8mb4, language)
}

const fn ai_ci(id: u16, name: &'static str, language: Language) -> CollationInfo {
    row(id, name, Charset::Utf8mb4, false, Pad::None, 0, Rule::Unicode(Strength::Primary, language))
}

const fn as_cs(id: u16, name: &'static str, language: Language) -> CollationInfo {
    row(id, name, Charset::Utf8mb4, false, Pad::None, 0, Rule::Unicode(Strength::Tertiary, language))
}

/// In MySQL's order: by character set, then by number.
pub static COLLATIONS: &[CollationInfo] = &[
    row(11, "ascii_general_ci", Charset::Ascii, true, Pad::Space, 1, GENERAL),
    row(65, "ascii_bin", Charset::Ascii, false, Pad::Space, 1, Rule::CodePoint),
    row(63, "binary", Charset::Binary, true, Pad::None, 1, Rule::CodePoint),
    row(248, "gb18030_chinese_ci", Charset::Gb18030, true, Pad::Space, 2, Rule::Pinyin(Chinese::Gb18030)),
    row(249, "gb18030_bin", Charset::Gb18030, false, Pad::Space, 1, Rule::Code),
    row(250, "gb18030_unicode_520_ci", Charset::Gb18030, false, Pad::Space, 8, PRIMARY),
    row(28, "gbk_chinese_ci", Charset::Gbk, true, Pad::Space, 1, Rule::Pinyin(Chinese::Gbk)),
    row(87, "gbk_bin", Charset::Gbk, false, Pad::Space, 1, Rule::Code),
    row(8, "latin1_swedish_ci", Charset::Latin1, true, Pad::Space, 1, Rule::Simple(Weights::Swedish)),
    row(47, "latin1_bin", Charset::Latin1, false, Pad::Space, 1, Rule::CodePoint),
    row(48, "latin1_general_ci", Charset::Latin1, false, Pad::Space, 1, GENERAL),
    row(49, "latin1_general_cs", Charset::Latin1, false, Pad::Space, 1, GENERAL_CS),
    row(35, "ucs2_general_ci", Charset::Ucs2, true, Pad::Space, 1, GENERAL),
    row(90, "ucs2_bin", Charset::Ucs2, false, Pad::Space, 1, Rule::CodePoint),
    row(128, "ucs2_unicode_ci", Charset::Ucs2, false, Pad::Space, 8, PRIMARY),
    of_language(129, "ucs2_icelandic_ci", Charset::Ucs2, Language::Icelandic),
    of_language(130, "ucs2_latvian_ci", Charset::Ucs2, Language::Latvian),
    of_language(131, "ucs2_romanian_ci", Charset::Ucs2, Language::Romanian),
    of_language(132, "ucs2_slovenian_ci", Charset::Ucs2, Language::Slovenian),
    of_language(133, "ucs2_polish_ci", Charset::Ucs2, Language::Polish),
    of_language(134, "ucs2_estonian_ci", Charset::Ucs2, Language::Estonian),
    of_language(135, "ucs2_spanish_ci", Charset::Ucs2, Language::Spanish),
    of_language(136, "ucs2_swedish_ci", Charset::Ucs2, Language::Swedish),
    of_language(137, "ucs2_turkish_ci", Charset::Ucs2, Language::Turkish),
    of_language(138, "ucs2_czech_ci", Charset::Ucs2, Language::Czech),
    of_language(139, "ucs2_danish_ci", Charset::Ucs2, Language::Danish),
    of_language(140, "ucs2_lithuanian_ci", Charset::Ucs2, Language::Lithuanian),
    of_language(141, "ucs2_slovak_ci", Charset::Ucs2, Language::Slovak),
    of_language(142, "ucs2_spanish2_ci", Charset::Ucs2, Language::SpanishTraditional),
    of_language(144, "ucs2_persian_ci", Charset::Ucs2, Language::Persian),
    of_language(145, "ucs2_esperanto_ci", Charset::Ucs2, Language::Esperanto),
    of_language(146, "ucs2_hungarian_ci", Charset::Ucs2, Language::Hungarian),
    of_language(147, "ucs2_sinhala_ci", Charset::Ucs2, Language::Sinhala),
    of_language(148, "ucs2_german2_ci", Charset::Ucs2, Language::GermanPhonebook),
    of_language(149, "ucs2_croatian_ci", Charset::Ucs2, Language::Croatian),
    row(150, "ucs2_unicode_520_ci", Charset::Ucs2, false, Pad::Space, 8, PRIMARY),
    of_language(151, "ucs2_vietnamese_ci", Charset::Ucs2, Language::Vietnamese),
    row(54, "utf16_general_ci", Charset::Utf16, true, Pad::Space, 1, GENERAL),
    row(55, "utf16_bin", Charset::Utf16, false, Pad::Space, 1, Rule::CodePoint),
    row(101, "utf16_unicode_ci", Charset::Utf16, false, Pad::Space, 8, PRIMARY),
    of_language(102, "utf16_icelandic_ci", Charset::Utf16, Language::Icelandic),
    of_language(103, "utf16_latvian_ci", Charset::Utf16, Language::Latvian),
    of_language(104, "utf16_romanian_ci", Charset::Utf16, Language::Romanian),
    of_language(105, "utf16_slovenian_ci", Charset::Utf16, Language::Slovenian),
    of_language(106, "utf16_polish_ci", Charset::Utf16, Language::Polish),
    of_language(107, "utf16_estonian_ci", Charset::Utf16, Language::Estonian),
    of_language(108, "utf16_spanish_ci", Charset::Utf16, Language::Spanish),
    of_language(109, "utf16_swedish_ci", Charset::Utf16, Language::Swedish),
    of_language(110, "utf16_turkish_ci", Charset::Utf16, Language::Turkish),
    of_language(111, "utf16_czech_ci", Charset::Utf16, Language::Czech),
    of_language(112, "utf16_danish_ci", Charset::Utf16, Language::Danish),
    of_language(113, "utf16_lithuanian_ci", Charset::Utf16, Language::Lithuanian),
    of_language(114, "utf16_slovak_ci", Charset::Utf16, Language::Slovak),
    of_language(115, "utf16_spanish2_ci", Charset::Utf16, Language::SpanishTraditional),
    of_language(117, "utf16_persian_ci", Charset::Utf16, Language::Persian),
    of_language(118, "utf16_esperanto_ci", Charset::Utf16, Language::Esperanto),
    of_language(119, "utf16_hungarian_ci", Charset::Utf16, Language::Hungarian),
    of_language(120, "utf16_sinhala_ci", Charset::Utf16, Language::Sinhala),
    of_language(121, "utf16_german2_ci", Charset::Utf16, Language::GermanPhonebook),
    of_language(122, "utf16_croatian_ci", Charset::Utf16, Language::Croatian),
    row(123, "utf16_unicode_520_ci", Charset::Utf16, false, Pad::Space, 8, PRIMARY),
    of_language(124, "utf16_vietnamese_ci", Charset::Utf16, Language::Vietnamese),
    row(56, "utf16le_general_ci", Charset::Utf16le, true, Pad::Space, 1, GENERAL),
    row(62, "utf16le_bin", Charset::Utf16le, false, Pad::Space, 1, Rule::CodePoint),
    row(60, "utf32_general_ci", Charset::Utf32, true, Pad::Space, 1, GENERAL),
    row(61, "utf32_bin", Charset::Utf32, false, Pad::Space, 1, Rule::CodePoint),
    row(160, "utf32_unicode_ci", Charset::Utf32, false, Pad::Space, 8, PRIMARY),
    of_language(161, "utf32_icelandic_ci", Charset::Utf32, Language::Icelandic),
    of_language(162, "utf32_latvian_ci", Charset::Utf32, Language::Latvian),
    of_language(163, "utf32_romanian_ci", Charset::Utf32, Language::Romanian),
    of_language(164, "utf32_slovenian_ci", Charset::Utf32, Language::Slovenian),
    of_language(165, "utf32_polish_ci", Charset::Utf32, Language::Polish),
    of_language(166, "utf32_estonian_ci", Charset::Utf32, Language::Estonian),
    of_language(167, "utf32_spanish_ci", Charset::Utf32, Language::Spanish),
    of_language(168, "utf32_swedish_ci", Charset::Utf32, Language::Swedish),
    of_language(169, "utf32_turkish_ci", Charset::Utf32, Language::Turkish),
    of_language(170, "utf32_czech_ci", Charset::Utf32, Language::Czech),
    of_language(171, "utf32_danish_ci", Charset::Utf32, Language::Danish),
    of_language(172, "utf32_lithuanian_ci", Charset::Utf32, Language::Lithuanian),
    of_language(173, "utf32_slovak_ci", Charset::Utf32, Language::Slovak),
    of_language(174, "utf32_spanish2_ci", Charset::Utf32, Language::SpanishTraditional),
    of_language(176, "utf32_persian_ci", Charset::Utf32, Language::Persian),
    of_language(177, "utf32_esperanto_ci", Charset::Utf32, Language::Esperanto),
    of_language(178, "utf32_hungarian_ci", Charset::Utf32, Language::Hungarian),
    of_language(179, "utf32_sinhala_ci", Charset::Utf32, Language::Sinhala),
    of_language(180, "utf32_german2_ci", Charset::Utf32, Language::GermanPhonebook),
    of_language(181, "utf32_croatian_ci", Charset::Utf32, Language::Croatian),
    row(182, "utf32_unicode_520_ci", Charset::Utf32, false, Pad::Space, 8, PRIMARY),
    of_language(183, "utf32_vietnamese_ci", Charset::Utf32, Language::Vietnamese),
    row(33, "utf8mb3_general_ci", Charset::Utf8mb3, true, Pad::Space, 1, GENERAL),
    row(83, "utf8mb3_bin", Charset::Utf8mb3, false, Pad::Space, 1, Rule::CodePoint),
    row(192, "utf8mb3_unicode_ci", Charset::Utf8mb3, false, Pad::Space, 8, PRIMARY),
    utf8mb3_of(193, "utf8mb3_icelandic_ci", Language::Icelandic),
    utf8mb3_of(194, "utf8mb3_latvian_ci", Language::Latvian),
    utf8mb3_of(195, "utf8mb3_romanian_ci", Language::Romanian),
    utf8mb3_of(196, "utf8mb3_slovenian_ci", Language::Slovenian),
    utf8mb3_of(197, "utf8mb3_polish_ci", Language::Polish),
    utf8mb3_of(198, "utf8mb3_estonian_ci", Language::Estonian),
    utf8mb3_of(199, "utf8mb3_spanish_ci", Language::Spanish),
    utf8mb3_of(200, "utf8mb3_swedish_ci", Language::Swedish),
    utf8mb3_of(201, "utf8mb3_turkish_ci", Language::Turkish),
    utf8mb3_of(202, "utf8mb3_czech_ci", Language::Czech),
    utf8mb3_of(203, "utf8mb3_danish_ci", Language::Danish),
    utf8mb3_of(204, "utf8mb3_lithuanian_ci", Language::Lithuanian),
    utf8mb3_of(205, "utf8mb3_slovak_ci", Language::Slovak),
    utf8mb3_of(206, "utf8mb3_spanish2_ci", Language::SpanishTraditional),
    utf8mb3_of(208, "utf8mb3_persian_ci", Language::Persian),
    utf8mb3_of(209, "utf8mb3_esperanto_ci", Language::Esperanto),
    utf8mb3_of(210, "utf8mb3_hungarian_ci", Language::Hungarian),
    utf8mb3_of(211, "utf8mb3_sinhala_ci", Language::Sinhala),
    utf8mb3_of(212, "utf8mb3_german2_ci", Language::GermanPhonebook),
    utf8mb3_of(213, "utf8mb3_croatian_ci", Language::Croatian),
    row(214, "utf8mb3_unicode_520_ci", Charset::Utf8mb3, false, Pad::Space, 8, PRIMARY),
    utf8mb3_of(215, "utf8mb3_vietnamese_ci", Language::Vietnamese),
    row(45, "utf8mb4_general_ci", Charset::Utf8mb4, false, Pad::Space, 1, GENERAL),
    row(46, "utf8mb4_bin", Charset::Utf8mb4, false, Pad::Space, 1, Rule::CodePoint),
    row(224, "utf8mb4_unicode_ci", Charset::Utf8mb4, false, Pad::Space, 8, PRIMARY),
    utf8mb4_of(225, "utf8mb4_icelandic_ci", Language::Icelandic),
    utf8mb4_of(226, "utf8mb4_latvian_ci", Language::Latvian),
    utf8mb4_of(227, "utf8mb4_romanian_ci", Language::Romanian),
    utf8mb4_of(228, "utf8mb4_slovenian_ci", Language::Slovenian),
    utf8mb4_of(229, "utf8mb4_polish_ci", Language::Polish),
    utf8mb4_of(230, "utf8mb4_estonian_ci", Language::Estonian),
    utf8mb4_of(231, "utf8mb4_spanish_ci", Language::Spanish),
    utf8mb4_of(232, "utf8mb4_swedish_ci", Language::Swedish),
    utf8mb4_of(233, "utf8mb4_turkish_ci", Language::Turkish),
    utf8mb4_of(234, "utf8mb4_czech_ci", Language::Czech),
    utf8mb4_of(235, "utf8mb4_danish_ci", Language::Danish),
    utf8mb4_of(236, "utf8mb4_lithuanian_ci", Language::Lithuanian),
    utf8mb4_of(237, "utf8mb4_slovak_ci", Language::Slovak),
    utf8mb4_of(238, "utf8mb4_spanish2_ci", Language::SpanishTraditional),
    utf8mb4_of(240, "utf8mb4_persian_ci", Language::Persian),
    utf8mb4_of(241, "utf8mb4_esperanto_ci", Language::Esperanto),
    utf8mb4_of(242, "utf8mb4_hungarian_ci", Language::Hungarian),
    utf8mb4_of(243, "utf8mb4_sinhala_ci", Language::Sinhala),
    utf8mb4_of(244, "utf8mb4_german2_ci", Language::GermanPhonebook),
    utf8mb4_of(245, "utf8mb4_croatian_ci", Language::Croatian),
    row(246, "utf8mb4_unicode_520_ci", Charset::Utf8mb4, false, Pad::Space, 8, PRIMARY),
    utf8mb4_of(247, "utf8mb4_vietnamese_ci", Language::Vietnamese),
    row(255, "utf8mb4_0900_ai_ci", Charset::Utf8mb4, true, Pad::None, 0, PRIMARY),
    ai_ci(256, "utf8mb4_de_pb_0900_ai_ci", Language::GermanPhonebook),
    ai_ci(257, "utf8mb4_is_0900_ai_ci", Language::Icelandic),
    ai_ci(258, "utf8mb4_lv_0900_ai_ci", Language::Latvian),
    ai_ci(259, "utf8mb4_ro_0900_ai_ci", Language::Romanian),
    ai_ci(260, "utf8mb4_sl_0900_ai_ci", Language::Slovenian),
    ai_ci(261, "utf8mb4_pl_0900_ai_ci", Language::Polish),
    ai_ci(262, "utf8mb4_et_0900_ai_ci", Language::Estonian),
    ai_ci(263, "utf8mb4_es_0900_ai_ci", Language::Spanish),
    ai_ci(264, "utf8mb4_sv_0900_ai_ci", Language::Swedish),
    ai_ci(265, "utf8mb4_tr_0900_ai_ci", Language::Turkish),
    ai_ci(266, "utf8mb4_cs_0900_ai_ci", Language::Czech),
    ai_ci(267, "utf8mb4_da_0900_ai_ci", Language::Danish),
    ai_ci(268, "utf8mb4_lt_0900_ai_ci", Language::Lithuanian),
    ai_ci(269, "utf8mb4_sk_0900_ai_ci", Language::Slovak),
    ai_ci(270, "utf8mb4_es_trad_0900_ai_ci", Language::SpanishTraditional),
    ai_ci(273, "utf8mb4_eo_0900_ai_ci", Language::Esperanto),
    ai_ci(274, "utf8mb4_hu_0900_ai_ci", Language::Hungarian),
    ai_ci(275, "utf8mb4_hr_0900_ai_ci", Language::Croatian),
    ai_ci(277, "utf8mb4_vi_0900_ai_ci", Language::Vietnamese),
    row(278, "utf8mb4_0900_as_cs", Charset::Utf8mb4, false, Pad::None, 0, unicode(Strength::Tertiary)),
    as_cs(279, "utf8mb4_de_pb_0900_as_cs", Language::GermanPhonebook),
    as_cs(280, "utf8mb4_is_0900_as_cs", Language::Icelandic),
    as_cs(281, "utf8mb4_lv_0900_as_cs", Language::Latvian),
    as_cs(282, "utf8mb4_ro_0900_as_cs", Language::Romanian),
    as_cs(283, "utf8mb4_sl_0900_as_cs", Language::Slovenian),
    as_cs(284, "utf8mb4_pl_0900_as_cs", Language::Polish),
    as_cs(285, "utf8mb4_et_0900_as_cs", Language::Estonian),
    as_cs(286, "utf8mb4_es_0900_as_cs", Language::Spanish),
    as_cs(287, "utf8mb4_sv_0900_as_cs", Language::Swedish),
    as_cs(288, "utf8mb4_tr_0900_as_cs", Language::Turkish),
    as_cs(289, "utf8mb4_cs_0900_as_cs", Language::Czech),
    as_cs(290, "utf8mb4_da_0900_as_cs", Language::Danish),
    as_cs(291, "utf8mb4_lt_0900_as_cs", Language::Lithuanian),
    as_cs(292, "utf8mb4_sk_0900_as_cs", Language::Slovak),
    as_cs(293, "utf8mb4_es_trad_0900_as_cs", Language::SpanishTraditional),
    as_cs(296, "utf8mb4_eo_0900_as_cs", Language::Esperanto),
    as_cs(297, "utf8mb4_hu_0900_as_cs", Language::Hungarian),
    as_cs(298, "utf8mb4_hr_0900_as_cs", Language::Croatian),
    as_cs(300, "utf8mb4_vi_0900_as_cs", Language::Vietnamese),
    as_cs(303, "utf8mb4_ja_0900_as_cs", Language::Japanese),
    row(305, "utf8mb4_0900_as_ci", Charset::Utf8mb4, false, Pad::None, 0, unicode(Strength::Secondary)),
    ai_ci(306, "utf8mb4_ru_0900_ai_ci", Language::Russian),
    as_cs(307, "utf8mb4_ru_0900_as_cs", Language::Russian),
    as_cs(308, "utf8mb4_zh_0900_as_cs", Language::Chinese),
    row(309, "utf8mb4_0900_bin", Charset::Utf8mb4, false, Pad::None, 1, Rule::CodePoint),
    ai_ci(310, "utf8mb4_nb_0900_ai_ci", Language::NorwegianBokmal),
    as_cs(311, "utf8mb4_nb_0900_as_cs", Language::NorwegianBokmal),
    ai_ci(312, "utf8mb4_nn_0900_ai_ci", Language::NorwegianNynorsk),
    as_cs(313, "utf8mb4_nn_0900_as_cs", Language::NorwegianNynorsk),
    ai_ci(314, "utf8mb4_sr_latn_0900_ai_ci", Language::SerbianLatin),
    as_cs(315, "utf8mb4_sr_latn_0900_as_cs", Language::SerbianLatin),
    ai_ci(316, "utf8mb4_bs_0900_ai_ci", Language::Bosnian),
    as_cs(317, "utf8mb4_bs_0900_as_cs", Language::Bosnian),
    ai_ci(318, "utf8mb4_bg_0900_ai_ci", Language::Bulgarian),
    as_cs(319, "utf8mb4_bg_0900_as_cs", Language::Bulgarian),
    ai_ci(320, "utf8mb4_gl_0900_ai_ci", Language::Galician),
    as_cs(321, "utf8mb4_gl_0900_as_cs", Language::Galician),
    ai_ci(322, "utf8mb4_mn_cyrl_0900_ai_ci", Language::Mongolian),
    as_cs(323, "utf8mb4_mn_cyrl_0900_as_cs", Language::Mongolian),
];

/// Place of `utf8mb4_0900_ai_ci`.
pub(super) const DEFAULT: usize = PLACES[CollationId::UTF8MB4_0900_AI_CI.0 as usize] as usize;

const NONE: u8 = u8::MAX;

/// Place in [`COLLATIONS`] by number, so that a comparison need not search.
const PLACES: [u8; 512] = {
    let mut places = [NONE; 512];
    let mut place = 0;
    while place < COLLATIONS.len() {
        places[COLLATIONS[place].id.0 as usize] = place as u8;
        place += 1;
    }
    places
};

pub(super) fn by_id(id: CollationId) -> Option<&'static CollationInfo> {
    let place = *PLACES.get(id.0 as usize)?;
    COLLATIONS.get(place as usize)
}

pub(super) fn by_name(name: &str) -> Option<&'static CollationInfo> {
    let mut name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_prefix("utf8_") {
        name = format!("utf8mb3_{rest}");
    }
    COLLATIONS.iter().find(|info| info.name == name)
}
