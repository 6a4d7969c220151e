from bonsai_mlx.images.naming import stem_of


def test_files_are_called_by_their_prompts_and_seeds() -> None:
    for prompt, seed, name in (
        ("maple bonsai in autumn", 4019409347, "maple-bonsai-in-autumn-4019409347"),
        ("  A Red Fox,\n ink_wash!", 7, "a-red-fox-ink-wash-7"),
        ("../../etc/passwd", 1, "etc-passwd-1"),
        ("红色狐狸", 3, "红色狐狸-3"),
        ("…", 5, "picture-5"),
        ("", None, "picture"),
        ("a fox", None, "a-fox"),
        ("a very long prompt about the mountains and the lakes of the north", 2,
         "a-very-long-prompt-about-the-mountains-and-the-lakes-of-the-2"),
        ("a " + "b" * 90, 1, "a-1"),
        ("b" * 90, 1, "b" * 60 + "-1"),
        ("狐" * 90, 1, "狐" * 20 + "-1"),
    ):  # fmt: skip
        assert stem_of(prompt, seed) == name


def test_names_of_their_own_are_kept_as_far_as_every_system_takes_them() -> None:
    for own, name in (
        ("my fox.jpeg", "my fox"),
        ("..\\..\\evil.png", "-..-evil"),
        ("con:1?.png", "con-1"),
        ("a\x00\n\u202egnp.png", "a-gnp"),
        ("x" * 240 + ".png", "x" * 180),
        (". .png", "picture"),
    ):
        assert stem_of("a fox", 1, own) == name, own
