//! Files outside the writable roots, names within them that are not for commands, and secrets.

use super::{Attack, Attempt, Holds, line};

const fn name(name: &'static str, line: &'static str) -> Attack {
    Attack { name, attempt: Attempt::Line(line), holds: Holds::Names }
}

pub(crate) const ATTACKS: &[Attack] = &[
    line("create", "echo x > $O/new"),
    line("overwrite", "echo x > $O/kept"),
    line("append", "echo x >> $O/sub/deep"),
    line("truncate", "truncate -s 0 $O/kept"),
    line("remove", "rm -f $O/kept"),
    line("remove a tree", "rm -rf $O/sub"),
    line("rename within", "mv $O/kept $O/moved"),
    line("steal", "mv $O/kept $W/stolen"),
    line("plant", "echo x > $W/f; mv $W/f $O/f || ln $W/f $O/f || cp $W/f $O/f"),
    line("link, then write", "ln $O/kept $W/l && echo x > $W/l"),
    line("through a link", "ln -sf $O/kept $W/s; echo x > $W/s; echo x > $O/link"),
    line("through a linked directory", "ln -s $O $W/d; echo x > $W/d/new; rm $W/d/kept"),
    line("climb", "cd $W; echo x > ../${O##*/}/new; echo x > ./inner/new"),
    line("a directory", "mkdir $O/d || rmdir $O/sub"),
    line("special files", "mkfifo $O/fifo; mknod $O/null c 1 3; ln -s x $O/symlink"),
    line("another root", "echo x > /proc/self/root$O/new; echo x > /proc/1/root$O/new"),
    line("of the parent", "echo x > /proc/$PPID/root$O/new; echo x > /proc/$PPID/cwd/new"),
    line("of the victim", "echo x > /proc/$V/root$O/new; echo x > /proc/$V/fd/1"),
    line("open anew", "exec 3< $O/kept; echo x > /proc/self/fd/3; echo x > /dev/fd/3"),
    line("inherited file", "eval \"echo x >&$F\"; echo x > /proc/self/fd/$F"),
    line("inherited directory", "cd /proc/self/fd/$G && echo x > new"),
    line("a namespace of one's own", "unshare -r sh -c 'echo x > $O/new; chmod 777 $O/kept'"),
    line("mounts", "unshare -rm sh -c 'mount --bind $O $W/inner && echo x > $W/inner/new'"),
    line(
        "mounts as oneself",
        "mount --bind $O $W/inner && { echo x > $W/inner/new; umount $W/inner; }",
    ),
    line("a new root", "chroot $O /bin/true; unshare -r chroot / sh -c 'echo x > $O/new'"),
    line("permissions", "chmod 777 $O/kept"),
    line("permissions of a tree", "chmod -R a+rwx $O"),
    line("permissions through a link", "ln -s $O/kept $W/c; chmod 600 $W/c"),
    line(
        "permissions, open file",
        "chmod 600 /proc/self/fd/0 < $O/kept; chmod 600 /dev/stdin < $O/kept",
    ),
    line("owner", "chown $(id -u):$(id -g) $O/kept; chgrp -h $(id -g) $O/link"),
    line("times", "touch $O/kept"),
    line("times of a link", "touch -h -d @1 $O/link"),
    line("inode flags", "chattr +d $O/kept || chattr +A $O/kept"),
    line("extended attributes", "setfattr -n user.x -v y $O/kept"),
    line("set-id", "cp /bin/true $O/script; chmod 6755 $O/script"),
    Attack {
        name: "shared memory",
        attempt: Attempt::Line("echo x > /dev/shm/$M"),
        holds: Holds::ReadOnly,
    },
    Attack {
        name: "the workspace itself",
        attempt: Attempt::Line("echo x > $W/new; chmod 700 $W; touch $W"),
        holds: Holds::ReadOnly,
    },
    name("a hook", "echo x > $W/.git/hooks/post-commit"),
    name("an existing hook", "echo x >> $W/.git/hooks/pre-commit"),
    name("a hook's permissions", "chmod 755 $W/.git/hooks/pre-commit"),
    name("repository settings", "printf '[core]\\n\\thooksPath = /tmp\\n' >> $W/.git/config"),
    name("settings by git", "git -C $W config core.hooksPath /tmp"),
    name("settings put in place", "echo x > $W/f; mv $W/f $W/.git/config"),
    name(
        "settings exchanged",
        "cp -r $W/.git $W/g; mv $W/.git $W/old; echo x > $W/g/config; mv $W/g $W/.git",
    ),
    name("settings removed", "rm -f $W/.git/config; rm -rf $W/.git/hooks"),
    name("settings by another name", "ln $W/.git/config $W/l && echo x > $W/l"),
    name("settings through a link", "ln -s .git/config $W/l; echo x > $W/l"),
    name("settings moved out", "mv $W/.git/config $W/c; echo x > $W/.git/config"),
    name("hooks moved out", "mv $W/.git/hooks $W/h; mkdir $W/.git/hooks; echo x > $W/.git/hooks/a"),
    name(
        "hooks become a link",
        "mkdir $W/h; rmdir $W/.git/hooks || mv $W/.git/hooks $W/o; ln -s ../h $W/.git/hooks",
    ),
    name(
        "the repository removed",
        "rm -rf $W/.git; mkdir -p $W/.git/hooks; echo x > $W/.git/config",
    ),
    name("agent settings", "echo x >> $W/.codex/config.toml"),
    name(
        "agent settings replaced",
        "mv $W/.codex $W/c; mkdir $W/.codex; echo x > $W/.codex/config.toml",
    ),
    name("agent settings anew", "mkdir $W/.windlass && echo x > $W/.windlass/config.toml"),
    name("agent settings by a link", "mkdir $W/w; echo x > $W/w/config.toml; ln -s w $W/.windlass"),
    name(
        "agent settings by a rename",
        "mkdir $W/w; echo x > $W/w/config.toml; mv $W/w $W/.windlass",
    ),
    name("agent settings as a file", "echo x > $W/.windlass"),
    name("a common directory", "mkdir $W/c; echo x > $W/c/config; echo ../c > $W/.git/commondir"),
    name("settings of a worktree", "echo x > $W/.git/config.worktree"),
    name("settings of a submodule", "echo x >> $W/.git/modules/sub/config"),
    name(
        "submodules become a link",
        "mv $W/.git/modules $W/m; ln -s ../e $W/.git/modules; ln -s m $W/e
        echo x > $W/m/sub/config",
    ),
    name("the repository becomes a link", "mv $W/.git $W/g; ln -s g $W/.git; echo x > $W/g/config"),
    name(
        "the repository becomes a pointer",
        "mv $W/.git $W/g; echo 'gitdir: g' > $W/.git; echo x > $W/g/config",
    ),
    name("the repository becomes a pipe", "mv $W/.git $W/g; mkfifo $W/.git"),
    name("settings become a pipe", "rm $W/.git/config; mkfifo $W/.git/config"),
    name("settings become a directory", "rm $W/.git/config; mkdir -p $W/.git/config/a/b/c"),
    name("settings mapped", "printf y | dd of=$W/.git/config conv=notrunc bs=1 seek=3"),
    name(
        "settings changed and touched",
        "echo x > $W/t; touch -r $W/.git/config $W/t
        printf '[c0re]' | dd of=$W/.git/config conv=notrunc; touch -r $W/t $W/.git/config",
    ),
    name(
        "many hooks",
        "i=0; while [ $i -lt 1500 ]; do i=$((i+1)); echo x > $W/.git/hooks/$i; done",
    ),
    name(
        "a deep hook",
        "d=$W/.git/hooks; for i in 1 2 3 4 5 6 7 8 9; do d=$d/a/b/c; done; mkdir -p $d",
    ),
    name(
        "all names taken",
        "for i in '' 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
        mkdir -p $W/.git/config.undone$i/x; done; echo x > $W/.git/config",
    ),
    name(
        "a hook by a program left behind",
        "setsid sh -c 'while :; do echo x > .git/hooks/late; sleep 0.01; done' sh $M > /dev/null 2>&1 &
        sleep 0.05",
    ),
    name(
        "agent settings closed",
        "mkdir $W/.windlass; echo x > $W/.windlass/c; chmod 0 $W/.windlass",
    ),
    name("the workspace closed", "echo x > $W/.git/config; chmod 500 $W/.git $W"),
    name("the repository moved", "cd /; mv $W $W.old; mkdir $W; mv $W/.git $W/.git2"),
    line("a secret file", "cat $K"),
    line("a secret's other name", "cat $L"),
    line("a secret through a link", "ln -s $K $W/k; cat $W/k; cat /proc/self/root$K"),
    line("a secret linked", "ln $K $W/k && cat $W/k"),
    line("a secret moved", "mv $K $W/k; cat $W/k; mv ${K%/*} $W/d; cat $W/d/key"),
    line("a secret from above", "cd ${K%/*}/..; cat secret/key; tar cf - secret; grep -r . secret"),
    line("a secret through the parent", "cat /proc/$PPID/cwd$K /proc/$PPID/root$K /proc/$V/root$K"),
    line(
        "a secret copied by a hook",
        "cp $K $W/copy; cat $W/copy; dd if=$K; install $K $W/i; cat $W/i",
    ),
];
