"""The arithmetic of the method: pure functions of tensors that know no model, file or setting."""
