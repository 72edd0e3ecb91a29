"""Pictures of the rendered faces, and how their shapes compare with real ones. No rendered face depends on it."""
