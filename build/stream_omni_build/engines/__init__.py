"""From a checkpoint to engines for one GPU: graphs in their deployment's precision, compiled and checked."""
