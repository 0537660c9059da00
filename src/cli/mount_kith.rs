//! `mount.kith SOURCE DIR [-sfnv] [-o OPTIONS]`: what mount(8) runs for `-t kith`.
